"""The usual case of words in runs: learned with the data, kept with the model, and used by every command."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from in_process import call_here
from stored_runs import log_of, train_here
from translate.checksums import CHECKSUMS
from translate.decoding.config import DecodingConfig, EngineName
from translate.engines import load_translator
from translate.errors import UserError
from translate.model_directory import content_hash
from translate.text import write_lines
from translate.truecasing import Case, Truecaser

FILE = "truecase.json"
WORDS = {"tokenizer__vocab_size": 40, "run__max_steps": 4, "run__save_every": 2, "validation__every": 4}


def write_sentences(folder: Path, names: tuple[str, ...], *, capitals: int = 0) -> Path:
    """Files of sentences about people; capitals: number of lines in 100 that are in capitals."""
    generator = random.Random(5)
    folder.mkdir()
    for split, count in (("train", 300), ("valid", 10), ("test", 10)):
        lines = [
            f"Der Hund von {generator.choice(names)} mag {generator.choice(names)} und {number}."
            for number in range(count)
        ]
        if split == "train":
            lines = [line.upper() if number % 100 < capitals else line for number, line in enumerate(lines)]
        write_lines(folder / f"{split}.src", lines)
        write_lines(folder / f"{split}.tgt", lines)
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_sentences(tmp_path_factory.mktemp("case") / "corpus", ("Kim", "Tom", "Ali"))


@pytest.fixture(scope="module")
def run(corpus) -> Path:
    folder = corpus.parent / "run"
    train_here(corpus, folder, **WORDS)
    return folder


def words_of(folder: Path) -> set[str]:
    return set(Truecaser.load(folder / FILE).words)


def test_run_and_its_models_have_the_table(run):
    for directory in (run, run / "best", run / "last"):
        assert words_of(directory) >= {"Hund", "Kim", "von"}
        assert json.loads((directory / "manifest.json").read_text(encoding="utf-8"))["case"] == "auto"
    assert FILE in json.loads((run / "best" / CHECKSUMS).read_text(encoding="utf-8"))
    assert "lines in capitals are translated in the usual case of their words (case=keep: as they are)" in log_of(run)
    before = content_hash(str(run))
    copy = run.parent / "edited"
    shutil.copytree(run / "best", copy)
    (copy / CHECKSUMS).unlink()
    Truecaser(words=["Kim"]).save(copy / FILE)
    assert content_hash(str(copy)) != before


def test_decode_translates_capitals_like_ordinary_text(run):
    lines = "DER HUND VON KIM MAG TOM.\nDer Hund von Kim mag Tom.\nDer Hund Von Kim Mag Tom Und Ali.\n"
    result = call_here("decode", f"model={run}", "threads=1", stdin=lines.encode())
    capitals, ordinary, _ = result.stdout.decode().splitlines()
    assert capitals == ordinary.upper() != ordinary
    assert b"2 of 3 lines were in capitals or Title Case: translated in their usual case" in result.stderr
    kept = call_here("decode", f"model={run}", "threads=1", "case=keep", stdin=lines.encode())
    assert b"usual case" not in kept.stderr
    assert kept.stdout.decode().splitlines()[1] == ordinary


def test_heading_of_a_page_stays_in_capitals(run, tmp_path):
    page = "<!DOCTYPE html><title>x</title><h1>DER HUND VON <b>KIM</b></h1><p>Der Hund von Kim.</p>"
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    output = tmp_path / "out.html"
    result = call_here("decode", f"model={run}", f"input={tmp_path / 'page.html'}", f"output={output}", "threads=1")
    assert b"1 of 3 lines were in capitals" in result.stderr
    heading = output.read_text(encoding="utf-8").partition("<h1>")[2].partition("</h1>")[0].replace("b>", "")
    assert heading == heading.upper() != heading.lower()


def test_continued_run_keeps_its_table(run, corpus):
    folder = run.parent / "continued"
    shutil.copytree(run, folder)
    (folder / FILE).unlink()
    changed = Truecaser(words=["Kim", "Hund"])
    for name in ("best", "last"):
        changed.save(folder / name / FILE)
        (folder / name / CHECKSUMS).unlink()
    train_here(corpus, folder, **WORDS | {"run__max_steps": 6})
    assert [words_of(path) for path in (folder, folder / "last")] == [{"Kim", "Hund"}] * 2


def test_run_of_an_older_version_stays_without(run, corpus):
    folder = run.parent / "older"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns(FILE, CHECKSUMS))
    for path in folder.rglob("manifest.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({key: value for key, value in manifest.items() if key != "case"}), encoding="utf-8")
    for number, steps in enumerate((6, 8)):
        train_here(corpus, folder, **WORDS | {"run__max_steps": steps})
        assert not list(folder.rglob(FILE)), number
    assert load_translator(str(folder), DecodingConfig(threads=1)).restorer is None
    with pytest.raises(UserError, match=r"case=restore: the model has no truecase\.json"):
        load_translator(str(folder), DecodingConfig(threads=1, case=Case.restore))


def test_adapted_model_keeps_the_table_of_its_base(run):
    other = write_sentences(run.parent / "other", ("Ida", "Leo"))
    train_here(other, run.parent / "adapted", **WORDS | {"adapt": "full", "adapt__model": run})
    assert words_of(run.parent / "adapted" / "best") == words_of(run / "best")


def test_many_training_lines_in_capitals_leave_capitals_alone(run):
    corpus = write_sentences(run.parent / "loud", ("Kim", "Tom"), capitals=5)
    train_here(corpus, run.parent / "loud_run", **WORDS | {"tokenizer__vocab_size": 60})
    assert "5.0% of the training lines are in capitals: such lines are translated as they are" in log_of(
        run.parent / "loud_run"
    )
    restorer = load_translator(str(run.parent / "loud_run"), DecodingConfig(threads=1)).restorer
    assert restorer is not None
    assert restorer.restore("DER HUND VON KIM").text == "DER HUND VON KIM"


def test_exported_model_has_the_table(run):
    pytest.importorskip("ctranslate2")
    import torch

    from translate.checkpoint import load_model
    from translate.exporting.ctranslate2_converter import export_ctranslate2

    exported = run.parent / "exported"
    export_ctranslate2(load_model(run, device=torch.device("cpu")), exported)
    assert words_of(exported) == words_of(run / "best")
    translator = load_translator(str(exported), DecodingConfig(engine=EngineName.ctranslate2, threads=1))
    capitals, ordinary = translator.translate(["DER HUND VON KIM.", "Der Hund von Kim."])
    assert capitals.text == ordinary.text.upper()
