"""Every YAML file of the data and tokenizer groups fits its dataclass, and its file names come out right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusFormat
from translate.data.prepare import prepare
from translate.errors import UserError
from translate.text import write_lines
from translate.tokenizer_training import TokenizerConfig, TokenizerType

CONFIGS = Path(__file__).parent.parent / "configs"
SCHEMAS = {"data": DataConfig, "tokenizer": TokenizerConfig}


def compose(group: str, name: str, *overrides: str) -> Any:
    """The configuration that Hydra makes of `group=name` and some overrides."""
    values = yaml.safe_load((CONFIGS / group / f"{name}.yaml").read_text("utf-8"))
    assert values.pop("defaults") == [f"schema_{group}", "_self_"]
    config = OmegaConf.create({group: OmegaConf.structured(SCHEMAS[group])})
    merged = OmegaConf.merge(config, {group: values}, OmegaConf.from_dotlist(list(overrides)))
    return OmegaConf.to_object(merged)[group]  # type: ignore[index, call-overload]


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


TASKS = ("dialogsum", "squad", "squad_questions")  # within one language


@pytest.mark.parametrize("name", [name for name in names("data") if name not in ("text_files", "mtdata", *TASKS)])
def test_each_data_choice_is_complete(name: str):
    data = compose("data", name)
    assert isinstance(data, DataConfig)
    assert data.source_language
    assert data.target_language
    for corpus in (data.train, data.valid, data.test):
        assert corpus.source.endswith(data.source_language)
        assert corpus.target.endswith(data.target_language)
        assert corpus.format is CorpusFormat.text or corpus.name


@pytest.mark.parametrize("name", names("tokenizer"))
def test_tokenizer_choices_change_the_documented_options(name: str):
    expected = {"unigram": {}, "bpe": {"type": TokenizerType.bpe}, "separate": {"joint": False}}
    assert compose("tokenizer", name) == TokenizerConfig(**expected[name])


def test_swapped_languages_swap_the_sides():
    data = compose("data", "multi30k", "data.source_language=de", "data.target_language=en", "data.root=/r")
    assert (data.train.source, data.train.target) == ("/r/train.de", "/r/train.en")
    assert (data.test.source, data.test.target) == ("/r/test_2016_flickr.de", "/r/test_2016_flickr.en")


def test_hub_corpora_read_nested_translation_columns():
    wmt = compose("data", "wmt14_en_de")
    assert (wmt.valid.name, wmt.valid.subset, wmt.valid.split) == ("wmt/wmt14", "de-en", "validation")
    assert (wmt.test.source, wmt.test.target) == ("translation.en", "translation.de")
    opus = compose("data", "opus100", "data.source_language=fr", "data.target_language=en")
    assert {corpus.subset for corpus in (opus.train, opus.valid, opus.test)} == {"fr-en"}
    opus = compose("data", "opus100", "data.source_language=en", "data.target_language=fr", "data.train.subset=en-fr")
    assert opus.test.subset == "en-fr"
    assert opus.test.source == "translation.en"


def test_text_files_need_all_files_except_the_test_set(tmp_path: Path):
    for name in ("a", "b", "c"):
        write_lines(tmp_path / name, ["line"])
    given = ["data.train.source=a", "data.train.target=b", "data.valid.source=c"]
    data = compose("data", "text_files", *(option.replace("=", f"={tmp_path}/") for option in given))
    with pytest.raises(
        UserError, match=r"^data\.valid: the text corpus is not specified; set data\.valid\.target=… \(without"
    ):
        prepare(data, TokenizerConfig())


def test_splits_of_other_tasks_do_not_overlap(corpora_root: Path, tmp_path: Path):
    for name, folder, sizes in (
        ("dialogsum", "dialogsum", (11_960, 500, 500)),
        ("squad_questions", "squad-question-generation", (9_000, 570, 1_000)),
    ):
        data = compose("data", name, f"data.root={corpora_root / folder}", f"data.cache={tmp_path}")
        prepared = prepare(data, TokenizerConfig(max_sentences=2000, vocab_size=2000))
        assert prepared.test is not None
        assert (prepared.cleaning.total, len(prepared.valid), len(prepared.test)) == sizes
        ends = [corpus.last for corpus in (data.train, data.valid) if corpus.source == data.valid.source]
        assert ends[0] == data.valid.skip


def test_multi30k_and_iwslt_have_the_expected_files_and_sizes(corpora_root: Path, tmp_path: Path):
    root = f"data.root={corpora_root}"
    data = compose("data", "multi30k", f"{root}/multi30k", f"data.cache={tmp_path}")
    prepared = prepare(data, TokenizerConfig(max_sentences=2000, vocab_size=2000))
    assert prepared.test is not None
    assert (prepared.cleaning.total, len(prepared.valid), len(prepared.test)) == (29_000, 1014, 1000)
    for name, folder, *more in (
        ("multi30k_tok_lc", "multi30k/tok-lc"),
        ("iwslt14", "iwslt14-de-en", "data.train_stem=train-partial", "data.test.source=''"),
    ):
        data = compose("data", name, f"{root}/{folder}", *more)
        corpora = [data.train, data.valid] + ([data.test] if data.test.source else [])
        assert all(Path(path).is_file() for corpus in corpora for path in (corpus.source, corpus.target))
