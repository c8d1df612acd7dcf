"""Data sets by name: mtdata's corpora and sacreBLEU's test sets, from files where these libraries keep them."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from sacrebleu.dataset import DATASETS

from in_process import call_here
from small_runs import options, write_corpus
from translate.data.clean_text import content_hashes
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.direction import with_languages
from translate.data.readers import read_pairs, read_parallel_text
from translate.errors import UserError
from translate.files import sha256
from translation_formats import PAIRS, write_moses, write_tmx

SUBMODULES = """statmt paracrawl tilde joshua_indian unitednations wikimatrix other neulab_tedtalks elrc_share ai4bharat
    eu linguatools anuvaad allenai_nllb flores opus.opus_index opus.opus100 leipzig huggingface"""


@pytest.fixture(scope="module")
def mtdata(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of mtdata, with an index of three corpora of the test's own and their files."""
    pytest.importorskip("mtdata")
    folder = tmp_path_factory.mktemp("mtdata")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "mtdata"]:
            patch.delitem(sys.modules, name)
        patch.setenv("MTDATA", str(folder))
        patch.chdir(folder)  # it imports mtdata*.py of the working directory
        for name in SUBMODULES.split():
            patch.setitem(sys.modules, f"mtdata.index.{name}", ModuleType(name))
        sys.modules["mtdata.index.statmt"].load_all = _add_corpora  # type: ignore[attr-defined]
        yield folder
        for name in [name for name in sys.modules if name.partition(".")[0] == "mtdata"]:
            patch.delitem(sys.modules, name)


def _add_corpora(index: Any) -> None:
    entry = importlib.import_module("mtdata.entry").Entry
    url = "https://example.com"
    index += entry("Test-table-1-eng-deu", f"{url}/table.tsv")
    index += entry("Test-memory-2-deu-eng", f"{url}/memory.tmx")
    members = ["*.en-de.en", "*.en-de.de"]
    index += entry("Test-archive-3-eng-deu", f"{url}/archive.zip", in_paths=members, in_ext="txt")
    index += entry("Test-missing-4-eng-deu", f"{url}/missing.tsv")


def place(folder: Path, url: str, name: str) -> Path:
    """Path of a file in mtdata's cache, which counts as downloaded."""
    cache = importlib.import_module("mtdata.cache").Cache(folder)
    entry = SimpleNamespace(did="")
    path = Path(cache.get_local_path(url, filename=name, fix_missing=False, entry=entry))
    path.parent.mkdir(parents=True, exist_ok=True)
    cache.get_flag_file(path).touch()
    return path


def corpus(name: str, source: str = "", target: str = "") -> CorpusConfig:
    return CorpusConfig(format=CorpusFormat.mtdata, name=name, source_language=source, target_language=target)


def fill(folder: Path) -> list[Path]:
    """The files of the three corpora, with the same pairs."""
    table = place(folder, "https://example.com/table.tsv", "table.tsv")
    table.write_text("".join(f"{source}\t{target}\textra\n" for source, target in PAIRS))
    memory = place(folder, "https://example.com/memory.tmx", "memory.tmx")
    write_tmx(memory, PAIRS, "en", "de")
    archive = place(folder, "https://example.com/archive.zip", "archive.zip")
    write_moses(archive, PAIRS, "en", "de")
    return [table, memory, archive]


@pytest.mark.parametrize("number", range(3))
def test_corpora_of_mtdata_are_read_from_its_cache(mtdata, number):
    name = ["Test-table-1-eng-deu", "Test-memory-2-deu-eng", "Test-archive-3-eng-deu"][number]
    root_handlers = logging.getLogger().handlers[:]
    config = corpus(name, "en", "de")
    _index()
    path = fill(mtdata)[number]
    assert list(read_pairs(config, key="data.train")) == PAIRS
    assert list(read_pairs(corpus(name, "deu", ""), key="data.train")) == [pair[::-1] for pair in PAIRS]
    assert content_hashes(config, key="data.train") == [sha256(path)]
    assert logging.getLogger().handlers == root_handlers


def _index() -> None:
    """Import mtdata as the program does."""
    with pytest.raises(UserError, match="mtdata has no corpus Test-none-1-eng-deu: `mtdata list` shows them"):
        list(read_pairs(corpus("Test-none-1-eng-deu"), key="data.train"))


def test_the_languages_are_those_of_the_name(mtdata):
    data = with_languages(DataConfig(train=corpus("Test-memory-2-deu-eng")))
    assert (data.source_language, data.target_language) == ("deu", "eng")
    with pytest.raises(UserError, match="has text in eng and deu, not fr and "):
        list(read_pairs(corpus("Test-table-1-eng-deu", "fr"), key="data.train"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("newstest", r"newstest is not a parallel corpus of mtdata: their names"),
        ("Test-Table-1-eng-deu", r"mtdata cannot load Test-Table-1-eng-deu: AssertionError: .*lower cased"),
        ("Test-missing-4-eng-deu", r"mtdata cannot load Test-missing-4-eng-deu: ConnectionError"),
    ],
)
def test_what_mtdata_cannot_load_is_named(mtdata, monkeypatch, name, message):
    def refuse(*_: object, **__: object) -> None:
        raise importlib.import_module("requests").ConnectionError("no network")

    monkeypatch.setattr("requests.get", refuse)
    with pytest.raises(UserError, match=f"data.train: {message}"):
        list(read_pairs(corpus(name), key="data.train"))


@pytest.fixture
def wmt20(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of sacreBLEU's wmt20 with a test set of en-de of three pairs."""
    folder = tmp_path / "sacrebleu" / "wmt20"
    folder.mkdir(parents=True)
    for field in ("docid", "genre", "origlang"):
        (folder / f"wmt20.en-de.{field}").write_text("x\n" * 3)
    (folder / "wmt20.en-de.src").write_text("0 1\n2 3\n4 5\n")
    (folder / "wmt20.en-de.ref").write_text("1 0\n3 2\n5 4\n")
    monkeypatch.setattr(DATASETS["wmt20"], "_outdir", str(folder))
    return folder


def test_set(**settings: Any) -> CorpusConfig:
    return CorpusConfig(format=CorpusFormat.sacrebleu, name="wmt20", **settings)


test_set.__test__ = False  # type: ignore[attr-defined]


def test_a_test_set_of_sacrebleu_is_read_from_its_folder(wmt20):
    config = test_set(source_language="en", target_language="de-AT")
    text = read_parallel_text(config, key="data.test")
    assert (text.source, text.target) == (["0 1", "2 3", "4 5"], ["1 0", "3 2", "5 4"])
    assert text.reference_paths == [str(wmt20 / "wmt20.en-de.ref")]
    assert content_hashes(config, key="data.test") == [sha256(wmt20 / f"wmt20.en-de.{side}") for side in ("src", "ref")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"wmt20 has test sets of \d+ directions \(cs-en, .*: set data.source_language=… data.target_language=…"),
        ({"source_language": "xx", "target_language": "de"}, r"wmt20 has no test set xx-de, only cs-en, "),
        ({"source_language": "de", "target_language": "en"}, r"sacreBLEU cannot download wmt20 \(de-en\): no network"),
    ],
)
def test_test_sets_that_cannot_be_had_are_named(wmt20, monkeypatch, settings, message):
    def refuse() -> None:
        raise OSError("no network")

    monkeypatch.setattr(DATASETS["wmt20"], "maybe_download", refuse)
    with pytest.raises(UserError, match=f"data.test: {message}"):
        read_parallel_text(test_set(**settings), key="data.test")


def test_an_unknown_test_set_is_named(wmt20):
    with pytest.raises(UserError, match="sacreBLEU has no test set wmt99: `sacrebleu --list` shows them"):
        read_parallel_text(CorpusConfig(format=CorpusFormat.sacrebleu, name="wmt99"), key="data.test")


def test_a_run_on_tmx_is_scored_on_several_test_sets(wmt20, tmp_path):
    folder = write_corpus(tmp_path / "corpus")
    sides = [(folder / f"train.{end}").read_text().splitlines() for end in ("src", "tgt")]
    write_tmx(folder / "train.tmx", list(zip(*sides, strict=True)), "en", "de")
    chat = f"{{source: {folder}/test.src, target: {folder}/test.tgt, name: chat/1}}"
    further = f"[{{format: sacrebleu, name: wmt20}}, {chat}]"
    unset = {f"data__{split}__{side}": None for split in ("train", "valid") for side in ("source", "target")}
    settings = options(
        folder,
        tmp_path / "run",
        data__train__path=folder / "train.tmx",
        data__further_tests=further,
        run__max_steps=4,
        validation__every=4,
        run__save_every=4,
        **unset,
    )
    outcome = call_here("train", *settings)
    assert outcome.returncode == 0, outcome.stderr.decode()
    assert b"en \xe2\x86\x92 de, " in outcome.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert list(result["tests"]) == ["test", "wmt20", "chat-1"]
    assert result["tests"]["chat-1"]["bleu"]["signature"].startswith("nrefs:1|")
    assert [line.split()[0] for line in result["summary"].splitlines()] == ["test", "wmt20", "chat-1"]
    for name in ("", "wmt20", "chat-1"):
        report = json.loads((tmp_path / "run/evaluation" / name / "report.json").read_text())
        assert report["scores"]["bleu"]["value"] == result["tests"][name or "test"]["bleu"]["value"]
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert (manifest["source_language"], manifest["target_language"]) == ("en", "de")
    evaluated = call_here("evaluate", f"model={tmp_path}/run", "test_set=wmt20", f"output={tmp_path}/report")
    assert evaluated.returncode == 0, evaluated.stderr.decode()
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["scores"]["bleu"]["value"] == result["tests"]["wmt20"]["bleu"]["value"]
    again = call_here("train", *settings)
    assert b"this run is over" in again.stderr
    assert result["summary"].encode() in again.stderr
    refused = call_here("train", *settings, "data.further_tests=[]")
    assert b"belongs to a run on other data" in refused.stderr


@pytest.mark.parametrize("name", ["test", "valid", "train", "..", "a b"])
def test_names_of_test_sets_are_those_of_folders_and_differ(name):
    further = [CorpusConfig(source="a", target="b", name=name)]
    with pytest.raises(UserError, match=r"set name=… of each of data.further_tests"):
        DataConfig(further_tests=further).check()
