"""Several target languages: tags, mixing by temperature, and the sets of each direction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from three_directions import corpus, tags, three, write_directions
from translate.data.corpora import DataConfig, ParallelText
from translate.data.corpus import CorpusConfig
from translate.data.direction import reversed_direction, with_languages
from translate.data.held_out import pairs_left_out
from translate.data.held_out_choice import sentence_key
from translate.data.languages import choose_direction, describe_mix, temperature_weights
from translate.data.prepare import Prepared, prepare
from translate.data.readers import read_pairs
from translate.data.report import data_report
from translate.errors import UserError
from translate.tokenizer_training import TokenizerConfig
from translation_formats import write_tmx

PAIRS = [("one two", "zwei eins"), ("three", "drei")]
TOKENIZER = TokenizerConfig(vocab_size=40, byte_fallback=False)


def test_corpora_get_the_tags_of_their_target_languages():
    data = with_languages(three(test=corpus("en-zh"), further_tests=[corpus("de-zh", source="x")]))
    assert tags(data) == {
        "data.train": "<2de>",
        "data.additional[0]": "<2zh>",
        "data.additional[1]": "<2en>",
        "data.test": "<2zh>",
        "data.further_tests[0]": "<2zh>",  # of no direction that is trained, but into a trained language
    }
    assert [direction.name for direction in data.directions] == ["en-de", "en-zh", "de-en"]
    assert data.languages == ("", "")


def test_a_tag_that_is_given_stays_and_is_that_of_its_direction():
    data = three(train=corpus("en-de", tag=">>deu<<"), test=corpus("en-de"))
    data.additional[0] = corpus("en-zh_Hant")
    assert list(tags(with_languages(data)).values()) == [">>deu<<", "<2zh-hant>", "<2en>", ">>deu<<"]


@pytest.mark.parametrize(
    "second", [corpus("en-de"), corpus("fr-de"), corpus("en-deu"), CorpusConfig(source="a", target="b")]
)
def test_one_target_language_changes_nothing(second):
    data = DataConfig(source_language="en", target_language="de", train=corpus("en-de"), additional=[second])
    assert with_languages(data) == data
    assert data.sets_to_hold_out == {"valid": 0, "test": 0}
    assert not data.directions


def test_languages_are_found_in_each_file(tmp_path: Path):
    write_tmx(tmp_path / "en-de", PAIRS, "en", "de")
    write_tmx(tmp_path / "en-zh", PAIRS, "en", "zh-CN")
    write_tmx(tmp_path / "de-en", PAIRS, "de", "en")
    files = [CorpusConfig(path=str(tmp_path / name)) for name in ("en-de", "en-zh", "de-en")]
    data = with_languages(DataConfig(train=files[0], additional=files[1:]))
    # the two languages of the first corpus are those of the last one, which is read in its direction
    assert [(x.source_language, x.target_language) for _, x in data.training_corpora] == [
        ("en", "de"),
        ("en", "zh-CN"),
        ("en", "de"),
    ]
    assert [direction.name for direction in data.directions] == ["en-de", "en-zh-cn"]
    # languages that are given are those of all corpora
    given = DataConfig(source_language="en", target_language="de", train=files[0], additional=files[1:])
    assert with_languages(given) == given


UNIT = "<tu>" + "".join(
    f'<tuv xml:lang="{language}"><seg>{text}</seg></tuv>' for language, text in (("en", "a"), ("de", "b"), ("zh", "c"))
)


def test_a_memory_of_three_languages_is_read_in_those_of_each_corpus(tmp_path: Path):
    (tmp_path / "all.tmx").write_text(f'<tmx version="1.4"><header srclang="en"/><body>{UNIT}</tu></body></tmx>')
    languages = [("en", "de"), ("en", "zh"), ("zh", "en")]
    train, *additional = (
        CorpusConfig(path=str(tmp_path / "all.tmx"), source_language=source, target_language=target)
        for source, target in languages
    )
    data = with_languages(DataConfig(train=train, additional=additional))
    pairs = [next(iter(read_pairs(corpus, key=key))) for key, corpus in data.training_corpora]
    assert pairs == [("a", "b"), ("a", "c"), ("c", "a")]


@pytest.mark.parametrize("value", [0.5, -1.0, float("nan"), float("inf")])
def test_temperature_is_one_or_more(value):
    with pytest.raises(UserError, match=r"data.temperature .* must be 1 or more"):
        three(temperature=value).check()


def test_options_of_several_directions_need_them():
    with pytest.raises(UserError, match=r"data.temperature=5 mixes directions, .* are of en-de: leave it out"):
        with_languages(DataConfig(train=corpus("en-de"), temperature=5.0))
    with pytest.raises(UserError, match="further_valid is for the other directions"):
        three(further_valid=[corpus("en-zh")]).check()
    with pytest.raises(UserError, match=r"back-translation is for one direction, .* of en-de, en-zh, de-en"):
        reversed_direction(three())


def test_several_source_languages_have_validation_sets_without_tags():
    sets = {"valid": corpus("en-de"), "further_valid": [corpus("fr-de")]}
    data = with_languages(DataConfig(train=corpus("en-de"), additional=[corpus("fr-de")], **sets))
    assert set(tags(data).values()) == {""}
    assert data.languages == ("", "de")
    assert [data.name_of(key, found) for key, found in data.evaluation_corpora] == ["en-de", "fr-de"]


def test_shares_at_a_temperature_are_powers_of_the_numbers_of_pairs():
    corpora = [corpus("en-de"), corpus("en-de", weight=2.0), corpus("en-zh", weight=0.5)]
    pairs = [800, 100, 20]  # an epoch sees 800 + 2 * 100 of en-de and 0.5 * 20 of en-zh
    assert temperature_weights(corpora, pairs, 1.0) == [1.0, 2.0, 0.5]
    weights = temperature_weights(corpora, pairs, 5.0)
    assert weights[:2] == [1.0, 2.0]
    assert 20 * weights[2] == pytest.approx(1000 * (10 / 1000) ** (1 / 5))  # 398.1
    assert 20 * temperature_weights(corpora, pairs, 1e9)[2] == pytest.approx(1000)
    lines = [line.split() for line in describe_mix(corpora, pairs, weights).splitlines()]
    assert lines[1:] == [["en-de", "none", "900", "71.5%"], ["en-zh", "none", "20", "28.5%"]]


def prepared(folder: Path, **settings: object) -> tuple[DataConfig, Prepared]:
    write_directions(folder, {"en-de": 300, "en-zh": 60, "de-en": 200})
    files = {
        name: {"source_language": name[:2], "target_language": name[3:], "path": str(folder / f"{name}.tsv")}
        for name in ("en-de", "en-zh", "de-en")
    }
    train, *additional = (CorpusConfig(**found) for found in files.values())
    data = DataConfig(train=train, additional=additional, cache=str(folder / "cache"), **settings)
    data = with_languages(replace(data, cleaning=replace(data.cleaning, drop_copies=False)))
    return data, prepare(data, TOKENIZER)


def pair_keys(text: ParallelText) -> frozenset[frozenset[str]]:
    """Both sides of each pair, in either direction."""
    sources = [line.partition("> ")[2] for line in text.source]
    return frozenset(frozenset(map(sentence_key, pair)) for pair in zip(sources, text.target, strict=True))


def test_each_direction_holds_out_sets_that_no_corpus_has(tmp_path: Path):
    data, found = prepared(tmp_path)
    assert [text.name for text in found.validation_sets] == ["en-de", "en-zh", "de-en"]
    assert [text.name for text in found.tests] == ["en-de", "en-zh", "de-en"]
    assert [text.tag for text in found.tests] == ["<2de>", "<2zh>", "<2en>"]
    assert all(line.startswith("<2zh> ") for line in found.further_valid[0].source)
    trained = {sentence_key(line) for side in found.train.texts(np.arange(len(found.train))) for line in side}
    trained |= {key.partition("> ")[2] or key for key in trained}
    for text in found.validation_sets + found.tests:
        assert not trained & {sentence_key(line.partition("> ")[2]) for line in text.source}
        assert not trained & {sentence_key(line) for line in text.target}
    valid, test = (set(map(pair_keys, sets)) for sets in (found.validation_sets, found.tests))
    assert not set().union(*valid) & set().union(*test)
    assert found.held_out is not None
    assert set(found.held_out.sizes) == {f"{kind}.{x.name}" for x in data.directions for kind in ("valid", "test")}


def test_an_epoch_and_the_fingerprint_follow_the_temperature(tmp_path: Path):
    _, cold = prepared(tmp_path)
    data, warm = prepared(tmp_path, temperature=5.0)
    assert cold.fingerprint != warm.fingerprint
    assert set(cold.train.repeats(0.0)) == {1.0}
    corpora = warm.train.corpora(np.arange(len(warm.train)))
    seen = np.bincount(corpora, warm.train.repeats(0.0))
    counts = np.bincount(corpora)
    assert seen / seen[0] == pytest.approx((counts / counts[0]) ** (1 / 5), rel=0.05)
    assert "en-zh" in warm.mix
    assert {x.tag for _, x in data.training_corpora} <= set(warm.tokenizer.tags)


def test_the_report_compares_each_set_with_its_direction(tmp_path: Path):
    data, found = prepared(tmp_path)
    report = data_report(data, found)
    splits = report.values["splits"]
    assert [name for name in splits if name.startswith("train")] == ["train.en-de", "train.en-zh", "train.de-en"]
    assert splits["train.en-zh"]["target"]["script"] == "Han/Kana"
    assert not [line for line in report.warnings if "script" in line]
    assert found.held_out is not None
    total = sum(splits[f"train.{direction.name}"]["pairs"] for direction in data.directions)
    assert total == 560 - len(pairs_left_out(found.held_out.directory))
    assert splits["train.en-zh"]["target"]["tokens"]["total"] > 0


DIRECTIONS = [
    {"source_language": "en", "target_language": "de", "tag": "<2de>", "bleu_tokenizer": "13a"},
    {"source_language": "en", "target_language": "zh", "tag": "<2zh>", "bleu_tokenizer": "zh"},
    {"source_language": "fr", "target_language": "de", "tag": "<2de>", "bleu_tokenizer": "13a"},
    {"source_language": "en", "target_language": "pt-br", "tag": "<2pt-br>", "bleu_tokenizer": "13a"},
]
MANIFEST = {"directions": DIRECTIONS, "source_language": "", "target_language": "", "tag": ""}


@pytest.mark.parametrize(
    ("wanted", "tag", "chosen"),
    [
        ("zh", "", ("en", "zh", "<2zh>")),
        ("cmn", "", ("en", "zh", "<2zh>")),
        ("zh_CN", "", ("en", "zh", "<2zh>")),
        ("pt", "", ("en", "pt-br", "<2pt-br>")),
        ("de", "", ("", "de", "<2de>")),  # from two languages
        ("", "<2zh>", ("en", "zh", "<2zh>")),
        ("", "<bt>", ("", "", "")),  # a tag of no direction says nothing
        ("zh", "<bt>", ("en", "zh", "<2zh>")),
        ("", "", ("", "", "")),
    ],
)
def test_an_option_chooses_a_direction(wanted, tag, chosen):
    found = choose_direction(MANIFEST, target_language=wanted, tag=tag)
    assert (found["source_language"], found["target_language"], found["tag"]) == chosen


def test_a_language_that_the_model_lacks_is_an_error():
    with pytest.raises(UserError, match=r"=fr: the model does not translate into it; set one of de \(en-de"):
        choose_direction(MANIFEST, target_language="fr", tag="")
    with pytest.raises(UserError, match="target_language=zh with tag=<2de>: the model does not"):
        choose_direction(MANIFEST, target_language="zh", tag="<2de>")
    several = {"directions": [*DIRECTIONS, {**DIRECTIONS[1], "source_language": "nl", "tag": "<nl2zh>"}]}
    with pytest.raises(UserError, match="has several tags: set tag= to one of <2zh>, <nl2zh>"):
        choose_direction(several, target_language="zh", tag="")
    assert choose_direction({"target_language": "de"}, target_language="fr", tag="") == {"target_language": "de"}


@pytest.mark.parametrize("directions", [7, ["en-de"], [{"tag": "<2de>"}], [{**DIRECTIONS[0], "tag": 2}]])
def test_damaged_directions_are_an_error(directions):
    with pytest.raises(UserError, match="directions is damaged"):
        choose_direction({"directions": directions}, target_language="de", tag="")
