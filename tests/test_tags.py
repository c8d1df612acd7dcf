"""Tags of data.*.tag: symbols in front of a source line, text anywhere else, and what a person is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fake_models import FakeModel, copy_model
from in_process import call_here
from small_runs import options, syllables, write_corpus
from translate.data.augmentation.subword_sampling import sample_source
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.data.prepare import prepare
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.decoding.translator import Translator
from translate.errors import UserError
from translate.tags import Tagging, split_tag, tagging_of
from translate.text import write_lines
from translate.tokenizer import CONTROL, EOS, USER_DEFINED, Tokenizer, pieces
from translate.tokenizer_training import TokenizerConfig, TokenizerType, train_tokenizer

LINES = [*syllables(), "a < b", "c > d <2de> 2"] * 3
TEXTS = ["bali", "bali <2de> dor", "ba<2de>li", "<2de>", "<2de>bali", "bali <2de>", "bali <2fr> <2de> <nl> ba", ""]


@pytest.fixture(scope="module", params=list(TokenizerType))
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return tagged_tokenizer(request.param)


def tagged_tokenizer(kind: TokenizerType = TokenizerType.unigram, **settings) -> Tokenizer:
    config = TokenizerConfig(type=kind, vocab_size=292, user_symbols=["<nl>"], **settings)
    return train_tokenizer(config, LINES, LINES, tags=["<2de>", "<2fr>"])


def test_tags_are_recognised_only_at_the_start_of_source_lines(tokenizer):
    tag = tokenizer.source_pieces(range(10)).index("<2de>")
    for text in TEXTS:
        [plain] = tokenizer.encode_source([text], tag="")
        assert tag not in plain
        assert tokenizer.decode_source([plain]) == [text]
        assert (
            tokenizer.encode_source([f"<2de> {text}", f" <2de> {text}", f"\ufeff<2de> {text}"]) == [[tag, *plain]] * 3
        )
        assert tokenizer.encode_source([text], tag="<2de>") == [[tag, *plain]]
        assert tokenizer.decode_source([[tag, *plain]]) == [f"<2de> {text}"]
        assert tokenizer.encode_target([text]) == [plain]
        assert tokenizer.encode_target([f"<2de> {text}"])[0][0] != tag
        assert tokenizer.decode_target(tokenizer.encode_target([f"<2de> {text}"])) == [f"<2de> {text}".strip()]


def test_first_tag_is_recognised_and_second_one_is_text(tokenizer):
    [ids] = tokenizer.encode_source(["<2de> <2fr> bali"])
    assert ids == [
        tokenizer.encode_source([" "], tag="<2de>")[0][0],
        *tokenizer.encode_source(["<2fr> bali"], tag="")[0],
    ]
    assert "<2fr>" not in tokenizer.source_pieces(ids)


def test_user_symbols_are_recognised_anywhere(tokenizer):
    for text in ("<nl> bali", "ba<nl>li", "<2de> bali <nl>"):
        assert tokenizer.source_pieces(tokenizer.encode_source([text])[0]).count("<nl>") == 1
    assert tokenizer.tags == ("<2de>", "<2fr>")
    assert tokenizer.user_symbols == ("<nl>",)


def test_symbol_that_is_also_a_tag_is_recognised_anywhere():
    tokenizer = train_tokenizer(TokenizerConfig(vocab_size=292, user_symbols=["<2de>"]), LINES, LINES, tags=["<2de>"])
    assert tokenizer.tags == ()
    assert tokenizer.source_pieces(tokenizer.encode_source(["ba <2de>"])[0]).count("<2de>") == 1


def test_sampled_segmentations_keep_tag_and_text(tokenizer):
    lines = ["<2de> bali dorken", "bali <2de> dorken", "<2de> mu <2fr> nas"]
    tags = [ids[:1] for ids in tokenizer.encode_source(lines)]
    found = set()
    for seed in range(5):
        drawn = sample_source(tokenizer, lines, strength=0.2, seed=seed)
        assert drawn == sample_source(tokenizer, lines, strength=0.2, seed=seed)
        assert tokenizer.decode_source(drawn) == lines
        assert [drawn[0][:1], drawn[2][:1]] == [tags[0], tags[2]]
        assert tags[0][0] not in drawn[1] + drawn[0][1:]
        found.add(str(drawn))
    assert len(found) > 1


def test_tags_are_stored_with_shared_and_separate_vocabularies(tmp_path):
    for joint in (True, False):
        built = tagged_tokenizer(joint=joint)
        folder = tmp_path / str(joint)
        folder.mkdir()
        built.save(folder)
        loaded = Tokenizer.load(folder)
        assert (loaded.tags, loaded.hash) == (built.tags, built.hash)
        assert loaded.encode_source(LINES) == built.encode_source(LINES)
        assert loaded.decode_target(loaded.encode_target(TEXTS)) == TEXTS


def test_tokenizer_of_an_earlier_version_keeps_its_tag_rules():
    old = train_tokenizer(TokenizerConfig(vocab_size=292, user_symbols=["<2de>"]), LINES, LINES)
    assert old.tags == ()
    [ids] = old.encode_source(["<2de> bali <2de> dor"])
    assert old.source_pieces(ids).count("<2de>") == 2
    assert old.encode_source(["bali"], tag="<2de>") == old.encode_source(["<2de> bali"])


def test_piece_table_equals_that_of_sentencepiece(tokenizer):
    [model] = tokenizer._models
    found, processor = list(pieces(model)), tokenizer.source_processor
    assert [piece.text for piece in found] == [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    controls = [token for token, piece in enumerate(found) if piece.kind == CONTROL]
    assert controls == [token for token in range(len(found)) if processor.is_control(token)]
    assert [piece.text for piece in found if piece.kind == USER_DEFINED] == ["<nl>"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("<2de> a", ("<2de>", "a")),
        ("  <2de>  a", ("<2de>", " a")),
        ("<2de> ", ("<2de>", "")),
        ("<2de>", ("", "<2de>")),
        ("<2de>a", ("", "<2de>a")),
        ("a <2de> b", ("", "a <2de> b")),
        ("<2fr> <2de> a", ("", "<2fr> <2de> a")),
        ("to German: a", ("to German:", "a")),
        ("", ("", "")),
    ],
)
def test_a_tag_is_followed_by_a_space(line, expected):
    assert split_tag(line, ["<2de>", "to German:"]) == expected


def test_prepared_and_sampled_text_have_the_tags_of_decoding(tmp_path):
    write_lines(tmp_path / "a.src", ["bali", "ba <x> li", "<y> dor", "<x> mu"])
    write_lines(tmp_path / "a.tgt", ["BALI", "BA <x> LI", "<x> DOR", "MU"])
    write_lines(tmp_path / "b.src", syllables())
    write_lines(tmp_path / "b.tgt", [line.upper() for line in syllables()])
    first, second = (CorpusConfig(source=f"{tmp_path}/{n}.src", target=f"{tmp_path}/{n}.tgt") for n in "ab")
    first.tag = "<x>"
    valid = CorpusConfig(source=second.source, target=second.target, tag="<y>")
    data = DataConfig(cache=f"{tmp_path}/cache", train=first, additional=[second], valid=valid)
    prepared = prepare(data, TokenizerConfig(vocab_size=300))
    tokenizer, rows = prepared.tokenizer, np.arange(4)
    assert tokenizer.tags == ("<x>", "<y>")
    source, target = ([ids.tolist() for ids in side] for side in prepared.train.pairs(rows))
    texts = ["bali", "ba <x> li", "<y> dor", "<x> mu"]
    assert source == tokenizer.encode_source(texts, tag="<x>")
    assert tokenizer.decode_source(source) == [f"<x> {text}" for text in texts]
    assert tokenizer.decode_target(target) == ["BALI", "BA <x> LI", "<x> DOR", "MU"]
    tags = {
        token for token in range(tokenizer.source_vocab_size) if tokenizer.source_pieces([token])[0] in ("<x>", "<y>")
    }
    assert not tags.intersection(*map(set, target))
    assert all(tags.intersection(ids) == {ids[0]} for ids in source)
    # the tag counts for max_tokens and the size of batches
    assert prepared.train.source_lengths[:4].tolist() == [len(ids) for ids in source]
    assert len(source[0]) == 1 + len(tokenizer.encode_source(["bali"], tag="")[0])


@pytest.mark.parametrize("tag", ["§", "<s>", "<0x41>", " <de>", "<de> ", "\u212b<"])
def test_ambiguous_tag_is_refused(tmp_path, tag):
    folder = write_corpus(tmp_path, pairs=20)
    corpus = CorpusConfig(source=f"{folder}/train.src", target=f"{folder}/train.tgt")
    valid = CorpusConfig(source=f"{folder}/valid.src", target=f"{folder}/valid.tgt", tag=tag)
    with pytest.raises(UserError, match=r"data\.valid\.tag=.*two or more characters"):
        prepare(DataConfig(cache=f"{tmp_path}/cache", train=corpus, valid=valid), TokenizerConfig(vocab_size=280))


def test_a_tag_that_the_tokenizer_of_another_model_lacks_is_refused(tmp_path, tokenizer):
    folder = write_corpus(tmp_path, pairs=20)
    corpus = CorpusConfig(source=f"{folder}/train.src", target=f"{folder}/train.tgt")
    valid = CorpusConfig(source=f"{folder}/valid.src", target=f"{folder}/valid.tgt", tag="<2cs>")
    with pytest.raises(UserError, match=r"data\.valid\.tag=<2cs>: .* it knows <2de>, <2fr>, <nl>"):
        prepare(DataConfig(cache=f"{tmp_path}/cache", train=corpus, valid=valid), tokenizer)


def translator_of(tokenizer: Tokenizer, tagging: Tagging, model: FakeModel, **options) -> Translator:
    engine = NativeEngine(model=model, device=torch.device("cpu"), workers=1)
    return Translator(engine, tokenizer, SearchConfig(beam_size=1), tagging=tagging, **options)


def test_every_segment_of_a_line_has_the_tag_of_the_line():
    tokenizer = tagged_tokenizer()
    ids = {tag: tokenizer.encode_source([" "], tag=tag)[0][0] for tag in tokenizer.tags}
    sentence = "bali dor. "
    cases = [
        ("", f"<2de> {sentence * 9}", "<2de>"),
        ("", sentence * 9, ""),
        ("<2fr>", sentence * 9, "<2fr>"),
        ("", f"<2de> {'<2fr> bali. Ba.' * 9}", "<2de>"),
        ("", f"bali. {'<2fr> bali. ' * 9}", ""),
    ]
    for tag, line, expected in cases:
        model = copy_model(vocabulary_size=400)
        tagging = Tagging(known=tokenizer.tags, tag=tag, of_all=bool(tag))
        [found] = translator_of(tokenizer, tagging, model, max_source_length=24).translate([line])
        segments = [sentence for batch in model.batches for sentence in batch]
        assert found.segments > 2
        for segment in segments:
            assert len(segment) <= 25
            assert list(segment[:1]) == ([ids[expected]] if expected else list(segment[:1]))
            assert not set(ids.values()).intersection(segment[1:] if expected else segment)
            assert segment[-1] == EOS


def test_lone_tag_is_text_and_tag_before_spaces_a_blank_line():
    tokenizer = tagged_tokenizer()
    translator = translator_of(tokenizer, Tagging(known=tokenizer.tags), copy_model(vocabulary_size=400))
    assert [t.text for t in translator.translate(["<2de>", "<2de> ", "<2de>   ", "<2de> ba"])] == [
        "<2de>",
        "",
        "",
        "ba",
    ]


TAGGED = {"tags": ["<2de>", "<2fr>"], "tag": "<2de>", "untagged_source": False}
CASE = ["The lamp is old.", "<2de> The lamp is old.", "<2cs> The lamp is old.", "  ", "a <2de> b"]


def test_untagged_lines_are_warned_of_with_line_numbers():
    tokenizer = tagged_tokenizer()
    tagging = tagging_of(TAGGED, tokenizer)
    assert tagging.tag == ""
    assert tagging.check(CASE) == (
        "3 of 5 lines have no tag, 1 of 5 lines has a tag that the model does not know (<2cs>); "
        "the model knows <2de>, <2fr>; set tag=…"
    )
    assert tagging.check(["<2de> a", "<2fr> b", "", "<2de> <2xx> c"]) == ""
    assert (
        tagging_of(TAGGED, tokenizer).check(["<nl> a"])
        == "1 of 1 lines has no tag; the model knows <2de>, <2fr>; set tag=…"
    )


def test_other_shapes_of_tags_are_recognised():
    manifest = {"tags": [">>deu<<", "__ces__"], "tag": "", "untagged_source": False}
    tagging = tagging_of(manifest, tagged_tokenizer(), requested=">>deu<<")
    assert "(>>fra<<, __fra__, <fr>)" in tagging.check([">>fra<< a", "__fra__ b", "<fr> c", "(a) d", "e", "<b>f</b> g"])


def test_untagged_lines_are_not_warned_of_where_usual():
    for manifest in ({"tags": ["<bt>"], "tag": "", "untagged_source": True}, {"tags": [], "tag": ""}, {}):
        tagging = tagging_of(manifest, tagged_tokenizer())
        assert (tagging.tag, tagging.note, tagging.check(CASE)) == ("", "", "")


def test_configured_tag_is_prefixed_once():
    tagging = tagging_of(TAGGED, tagged_tokenizer(), requested="<2de>")
    lines = ["a", "<2de> a", "<2fr> a", "<2cs> a"]
    assert [tagging.tagged(line) for line in lines] == ["<2de> a", "<2de> a", "<2de> <2fr> a", "<2de> <2cs> a"]
    assert tagging.check(lines) == (
        "1 of 4 lines has a tag that the model does not know (<2cs>), 1 of 4 lines has another tag (<2fr>), which "
        "tag=<2de> makes ordinary text; the model knows <2de>, <2fr>"
    )


def test_unknown_tag_error_lists_known_tags():
    tokenizer = tagged_tokenizer()
    with pytest.raises(UserError, match="tag=<2cs>: the model has no such tag; it knows <2de>, <2fr>"):
        tagging_of(TAGGED, tokenizer, requested="<2cs>")
    with pytest.raises(UserError, match="tag=<nl>: the model has no such tag"):
        tagging_of(TAGGED, tokenizer, requested="<nl>")
    plain = train_tokenizer(TokenizerConfig(vocab_size=290), LINES, LINES)
    with pytest.raises(UserError, match="tag=<2de>: the model has no such tag; it was trained without tags"):
        tagging_of({"tags": [], "tag": "", "untagged_source": True}, plain, requested="<2de>")


def test_default_tag_is_the_only_one_or_that_of_the_validation_set():
    tokenizer = tagged_tokenizer()
    only = {"tags": ["<2de>"], "tag": "<2de>", "untagged_source": False}
    tagging = tagging_of(only, tokenizer)
    assert [tagging.tagged(line) for line in ("a", "<2de> b", "")] == ["<2de> a", "<2de> b", ""]
    assert tagging.note.startswith("tag=<2de>, the only one")
    assert tagging.check(["a"]) == ""
    tagging = tagging_of(TAGGED, tokenizer, as_validated=True)
    assert [tagging.tagged(line) for line in ("a", "<2fr> b")] == ["<2de> a", "<2fr> b"]
    assert tagging.note.startswith("tag=<2de>, as the run's validation set had it")
    untagged = {"tags": ["<bt>"], "tag": "", "untagged_source": True}
    assert tagging_of(untagged, tokenizer, as_validated=True).tagged("a") == "a"


def test_older_model_takes_the_configured_tag_only():
    old = train_tokenizer(TokenizerConfig(vocab_size=292, user_symbols=["<2de>"]), LINES, LINES)
    assert tagging_of({}, old).tagged("<2de> a") == "<2de> a"
    tagging = tagging_of({}, old, requested="<2de>")
    assert [tagging.tagged(line) for line in ("a", "<2de> a")] == ["<2de> a", "<2de> a"]
    with pytest.raises(UserError, match="it knows <2de>"):
        tagging_of({}, old, requested="<2fr>")
    model = copy_model(vocabulary_size=400)
    [found] = translator_of(old, tagging, model, max_source_length=24).translate(["bali dor. " * 9])
    symbol = old.source_pieces(range(10)).index("<2de>")
    assert found.segments > 2
    assert all(symbol in sentence[:2] for batch in model.batches for sentence in batch)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory) -> Path:
    """One model for two tasks: digits backwards, and digits as they are."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    copies = f"[{{source: {corpus}/train.src, target: {corpus}/train.src, tag: '<copy>'}}]"
    tags = {"data__train__tag": "<turn>", "data__additional": copies, "data__valid__tag": "<turn>"}
    sizes = {"tokenizer__byte_fallback": "true", "tokenizer__vocab_size": 280, "run__max_steps": 60}
    result = call_here("train", *options(corpus, folder, **tags, **sizes))
    assert result.returncode == 0, result.stderr.decode()
    said = result.stderr.decode()
    assert "data.test: 20 of 20 lines have no tag; the model knows <turn>, <copy>; set data.test.tag=…" in said
    assert "data.valid: " not in said
    return folder


def decode(run: Path, text: str, *arguments: str, fails: bool = False) -> tuple[list[str], str]:
    """Two translations of each line, with their scores; what was said on stderr."""
    options = ["search.beam_size=2", "search.n_best=2", "threads=1", "progress=false"]
    result = call_here("decode", f"model={run}", *options, *arguments, stdin=text.encode())
    assert (result.returncode != 0) == fails, result.stderr.decode()
    return result.stdout.decode().splitlines(), result.stderr.decode()


def test_manifests_record_the_tags(run):
    for name in ("manifest.json", "best/manifest.json", "last/manifest.json"):
        manifest = json.loads((run / name).read_text())
        assert manifest["tags"] == ["<turn>", "<copy>"]
        assert manifest["tag"] == "<turn>"
        assert manifest["untagged_source"] is False


@pytest.mark.parametrize("engine", ["native", "ctranslate2"])
def test_decode_prefixes_a_tag_and_warns_of_untagged_lines(run, engine, tmp_path):
    if engine == "ctranslate2":
        pytest.importorskip("ctranslate2")
    option = f"engine={engine}"
    lines = ["1 2 3", "4 5 6 7", "", "8 <copy> 9"]
    typed, quiet = decode(run, "".join(f"<copy> {line}\n" for line in lines), option)
    assert quiet == ""
    found, quiet = decode(run, "".join(f"{line}\n" for line in lines), option, "tag=<copy>")
    assert (found, quiet) == (typed, "")
    assert found != decode(run, "".join(f"{line}\n" for line in lines), option, "tag=<turn>")[0]
    mixed = "1 2 3\n<copy> 1 2 3\n<turned> 1 2 3\n4 <turn>\n<turn> 1\n"
    warning = (
        "warning: 3 of 5 lines have no tag, 1 of 5 lines has a tag that the model does not know (<turned>); "
        "the model knows <turn>, <copy>; set tag=…\n"
    )
    found, said = decode(run, mixed, option)
    assert said == warning
    (tmp_path / "in").write_text(mixed)
    assert decode(run, "", option, f"input={tmp_path / 'in'}") == (found, warning)
    assert (
        "tag=<other>: the model has no such tag; it knows <turn>, <copy>"
        in decode(run, "1\n", option, "tag=<other>", fails=True)[1]
    )


def test_evaluate_reproduces_the_validation_score_of_the_run(run, corpus, tmp_path):
    scores, tags = {}, {}
    for tag in ("", "tag=<turn>", "tag=<copy>"):
        arguments = [f"source={corpus}/valid.src", f"reference={corpus}/valid.tgt", f"output={tmp_path / 'report'}"]
        arguments = [*arguments, "search=greedy", "bootstrap=0", *filter(None, [tag])]
        result = call_here("evaluate", f"model={run}", *arguments)
        assert result.returncode == 0, result.stderr.decode()
        report = json.loads((tmp_path / "report" / "report.json").read_text())
        scores[tag], tags[tag] = report["scores"]["chrf"]["value"], report["decoding"]["tag"]
        assert (b"tag=<turn>, as the run's validation set had it" in result.stderr) == (tag == "")
    assert scores[""] == scores["tag=<turn>"]
    assert tags == {"": "<turn>", "tag=<turn>": "<turn>", "tag=<copy>": "<copy>"}
    assert f"chrF2 {scores['']:.2f}" in (run / "train.log").read_text()


def test_adapted_model_keeps_the_tags_of_its_base_model(run, corpus, tmp_path):
    adapted = tmp_path / "adapted"
    settings = {"adapt": "full", "adapt__model": run, "run__max_steps": 5, "tokenizer__vocab_size": None}
    tags = {"data__train__tag": "<copy>", "data__valid__tag": "<copy>", "data__test__tag": "<copy>"}
    result = call_here("train", *options(corpus, adapted, **settings, **tags))
    assert result.returncode == 0, result.stderr.decode()
    manifest = json.loads((adapted / "best" / "manifest.json").read_text())
    assert (manifest["tags"], manifest["tag"]) == (["<copy>", "<turn>"], "<copy>")
    assert manifest["untagged_source"] is False
    tags["data__test__tag"] = "<other>"
    result = call_here("train", *options(corpus, tmp_path / "other", **settings, **tags))
    assert result.returncode != 0
    assert b"data.test.tag=<other>: the tokenizer has no such symbol; it knows <turn>, <copy>" in result.stderr
