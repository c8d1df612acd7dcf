"""tokenizer.path: the vocabulary of a SentencePiece model, of a run or of a model directory, used as it is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import sentencepiece

from small_runs import composed, options, syllables, write_corpus
from stored_runs import train_here
from translate.data.prepare import prepare
from translate.errors import UserError
from translate.model_directory import read_origin
from translate.text import write_lines
from translate.tokenizer import Tokenizer
from translate.tokenizer_reuse import load_given
from translate.tokenizer_training import TokenizerConfig, train_tokenizer
from translate.training.back_translation import back_translate

GIVEN = {f"tokenizer__{name}": None for name in ("vocab_size", "byte_fallback")}  # nothing beside the path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=200)


def small_config(**changes) -> TokenizerConfig:
    return TokenizerConfig(vocab_size=36, byte_fallback=False, **changes)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    digits = ["0 1 2 3 4", "5 6 7 8 9"] * 10
    made = train_tokenizer(small_config(), digits, digits, tags=["<copy>"])
    made.save(tmp_path)
    return made


def foreign_model(folder: Path, **ids: int) -> Path:
    """A SentencePiece model as its own trainer makes it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(syllables()), model_writer=model, vocab_size=36, minloglevel=2, **ids
    )
    (folder / "foreign.model").write_bytes(model.getvalue())
    return folder / "foreign.model"


def config_of(corpus: Path, run: Path, path: Path, **changes):
    return composed(options(corpus, run, **GIVEN, tokenizer__path=path, **changes))


def test_run_uses_a_given_vocabulary_and_keeps_it(corpus, tmp_path, tokenizer):
    settings = {**GIVEN, "tokenizer__path": tmp_path / "tokenizer.model", "run__save_every": 5}
    train_here(corpus, tmp_path / "run", **settings, run__max_steps=5)
    run = tmp_path / "run"
    assert (run / "tokenizer.model").read_bytes() == (tmp_path / "tokenizer.model").read_bytes()
    assert read_origin(run / "best")[0].hash == tokenizer.hash
    assert json.loads((run / "manifest.json").read_text())["tokenizer"] == tokenizer.hash
    train_here(corpus, run, **settings, run__max_steps=10)
    for folder in (run, run / "best"):
        assert load_given(str(folder)).hash == tokenizer.hash


def test_fingerprint_depends_on_the_given_vocabulary_and_not_on_its_path(corpus, tmp_path, tokenizer):
    (tmp_path / "moved.model").write_bytes((tmp_path / "tokenizer.model").read_bytes())
    digits = ["1 2 3", "4 5 6"] * 10
    (tmp_path / "other").mkdir()
    train_tokenizer(small_config(), digits, digits).save(tmp_path / "other")
    found = []
    for path in (tmp_path, tmp_path / "moved.model", tmp_path / "other"):
        config = config_of(corpus, tmp_path / "run", path)
        found.append(prepare(config.data, config.tokenizer))
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint
    assert found[0].tokenizer.hash == found[1].tokenizer.hash == tokenizer.hash


def test_separate_vocabularies_are_given_by_their_folder(tmp_path):
    made = train_tokenizer(small_config(joint=False), syllables(), ["0 1 2 3 4 5"] * 5)
    made.save(tmp_path)
    config = TokenizerConfig(path=str(tmp_path))
    config.check()
    assert not config.shared
    assert config.sizes == (made.source_vocab_size, made.target_vocab_size)
    with pytest.raises(UserError, match=r"source\.tokenizer\.model is the vocabulary of one side: name its folder"):
        load_given(str(tmp_path / "source.tokenizer.model"))


def test_text_form_is_that_of_the_run(tmp_path, tokenizer):
    (tmp_path / "manifest.json").write_text(json.dumps({"tokenizer": tokenizer.hash}))  # before forms were noted
    for path in (tmp_path, tmp_path / "tokenizer.model"):
        assert load_given(str(path)).text_form == 1


def test_foreign_model_is_used_where_its_special_tokens_fit(tmp_path):
    path = foreign_model(tmp_path, pad_id=0, unk_id=1, bos_id=2, eos_id=3)
    assert load_given(str(path)).decode_target(load_given(str(path)).encode_source(["badorken limunas"])) == [
        "badorken limunas"
    ]
    config = TokenizerConfig(path=str(foreign_model(tmp_path)))
    with pytest.raises(UserError, match=r"ids \(-1, 0, 1, 2\) there, expected 0 to 3: train it with --pad_id=0"):
        config.check()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file or folder"), (b"not a model", "not a SentencePiece model"), ("folder", "contains none of")],
)
def test_path_without_a_vocabulary_is_refused(tmp_path, content, message):
    path = tmp_path / "vocabulary"
    if content == "folder":
        path.mkdir()
    elif content:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        TokenizerConfig(path=str(path)).check()


def test_settings_of_a_new_vocabulary_beside_a_given_one_are_refused(corpus, tmp_path, tokenizer):
    for setting in ({"vocab_size": 500}, {"joint": False}, {"user_symbols": ["<x>"]}, {"seed": 2}):
        [key] = setting
        with pytest.raises(UserError, match=rf"tokenizer\.{key}=.* has no effect beside tokenizer\.path"):
            TokenizerConfig(path=str(tmp_path), **setting).check()
    train_here(corpus, tmp_path / "base", **GIVEN, tokenizer__path=tmp_path, run__max_steps=5)
    sizes = {f"model__{name}": None for name in ("d_model", "ffn_dim", "num_heads", "encoder_layers", "decoder_layers")}
    adapt = {"adapt": "full", "adapt__model": tmp_path / "base"}
    with pytest.raises(UserError, match=r"tokenizer\.path has no effect beside adapt\.model"):
        config_of(corpus, tmp_path / "run", tmp_path, **sizes, **adapt).check()


def test_tags_that_a_given_vocabulary_lacks_are_named(corpus, tmp_path, tokenizer):
    config = config_of(corpus, tmp_path / "run", tmp_path, data__train__tag="'<turn>'")
    with pytest.raises(UserError, match=r"data\.train\.tag=<turn>: the tokenizer has no such symbol; it knows <copy>"):
        prepare(config.data, config.tokenizer)
    write_lines(tmp_path / "more", ["1 2 3"])
    config = config_of(corpus, tmp_path / "run", tmp_path, back_translation__monolingual=tmp_path / "more")
    with pytest.raises(UserError, match=r"with the symbol <bt> \(back_translation\.tag\)"):
        back_translate(config, None, train=lambda *_: None)
