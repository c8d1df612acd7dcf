"""python -m translate.export: a model for another runtime, compared with the original on lines of its run."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from in_process import call_here
from small_runs import options, write_corpus
from translate.decoding.config import SearchConfig
from translate.exporting.lines_to_compare import given_lines, lines_of_run
from translate.model_directory import MONITORING, content_hash
from translate.monitoring.baseline import load_baseline

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")

LANGUAGES = ["source_language=en", "target_language=de"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    trained = call_here("train", *options(write_corpus(folder / "corpus"), folder / "run"))
    assert trained.returncode == 0, trained.stderr.decode()
    return folder


def export(folder: Path, *words: str, name: str = "out") -> tuple[str, dict]:
    """Output of the command and export.json."""
    result = call_here("export", f"model={folder / 'run'}", f"output={folder / name}", "threads=1", *words)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode(), json.loads((folder / name / "export.json").read_text())


def refused(folder: Path, *words: str) -> str:
    result = call_here("export", f"model={folder / 'run'}", f"output={folder / 'refused'}", *words)
    assert result.returncode == 1
    assert not (folder / "refused").exists()
    return result.stderr.decode()


def test_the_test_set_of_the_run_is_translated_by_both(folder):
    output, report = export(folder)
    assert "exact matches  20 of 20 (100.0%)" in output
    assert report["exact_matches"] == report["lines"] == 20
    assert report["bleu_difference"] == 0
    scores = json.loads((folder / "run" / "result.json").read_text())["tests"]["test"]["bleu"]
    assert report["bleu"] == {"model": scores["value"], "export": scores["value"], "signature": scores["signature"]}
    assert report["versions"].keys() == {"translate", "ctranslate2"}
    baselines = [load_baseline(folder / name / MONITORING, direction="") for name in ("run/best", "out")]
    assert baselines[0].lines == baselines[1].lines
    assert [each.model for each in baselines] == [content_hash(str(folder / name)) for name in ("run", "out")]
    decode = [f"input={folder / 'corpus' / 'test.src'}", "search=greedy", "threads=1", "precision=fp32"]
    one, other = (
        call_here("decode", f"model={folder / name}", *decode, *more).stdout
        for name, more in (("run", []), ("out", ["engine=ctranslate2"]))
    )
    assert one == other != b""


@pytest.mark.parametrize(
    ("file", "engine", "asked"),
    [
        ("model.bin", "ctranslate2", []),
        ("encoder_model.onnx", "onnx", []),
        ("encoder_model.onnx", "onnx", ["ctranslate2"]),
    ],
)
def test_an_export_without_its_engine_is_named_as_such(folder, tmp_path, file, engine, asked):
    for name in ("model.yaml", "manifest.json"):
        shutil.copy(folder / "run" / "best" / name, tmp_path)
    (tmp_path / file).write_bytes(b"")
    result = call_here("decode", f"model={tmp_path}", *[f"engine={each}" for each in asked], stdin=b"a\n")
    assert result.returncode == 1
    assert f"model={tmp_path}: that is an export, which engine={engine} reads" in result.stderr.decode()


def test_an_export_of_int8_replaces_an_earlier_one_and_counts_what_differs(folder):
    first, _ = export(folder)
    output, report = export(folder, "quantization=int8", f"source={folder / 'corpus' / 'train.src'}", "lines=50")
    assert report["quantization"] == "int8"
    assert report["lines"] == 50
    assert "BLEU" in first
    assert "BLEU" not in output
    assert len(report["differences"]) == min(10, 50 - report["exact_matches"])


def test_an_argos_package_has_what_argos_reads(folder):
    output, report = export(folder, "format=argos", *LANGUAGES, name="argos")
    [package] = (folder / "argos").glob("*.argosmodel")
    names = zipfile.ZipFile(package).namelist()
    assert {name.partition("/")[0] for name in names} == {"translate-en_de-1_0"}
    inside = {name.partition("/")[2] for name in names}
    assert inside == {
        "metadata.json",
        "README.md",
        "sentencepiece.model",
        "model/config.json",
        "model/model.bin",
        "model/shared_vocabulary.json",
    }
    metadata = json.loads(zipfile.ZipFile(package).read("translate-en_de-1_0/metadata.json"))
    assert (metadata["from_code"], metadata["from_name"], metadata["to_name"]) == ("en", "English", "German")
    assert "beam beam_size=4 length_penalty=0.2 min_length=1" in output
    assert report["exact_matches"] >= 18  # Argos does not limit lengths by that of the source


def test_a_folder_of_other_packages_is_not_replaced(folder, tmp_path):
    package = tmp_path / "translate-en_de.argosmodel"
    package.write_text("downloaded")
    words = [f"model={folder / 'run'}", f"output={tmp_path}", "format=argos", "lines=0", *LANGUAGES]
    result = call_here("export", *words)
    assert "this folder is not replaced" in result.stderr.decode()
    assert package.read_text() == "downloaded"


def test_what_a_package_cannot_express_is_refused_by_name(folder):
    assert "source_language (not known): an Argos package names its languages by codes" in refused(
        folder, "format=argos"
    )
    assert "quantization=int4 is none of" in refused(folder, "format=argos", "quantization=int4", *LANGUAGES)
    manifest = folder / "run" / "best" / "manifest.json"
    before = manifest.read_text()
    checksums = folder / "run" / "best" / "checksums.json"
    checksums.rename(folder / "checksums")
    manifest.write_text(json.dumps(json.loads(before) | {"tags": ["<2de>"], "untagged_source": False}))
    try:
        assert "the model wants a tag (<2de>) in front of each line" in refused(folder, "format=argos", *LANGUAGES)
    finally:
        manifest.write_text(before)
        (folder / "checksums").rename(checksums)


def test_options_that_do_not_go_together_are_refused(folder):
    assert "reference=x is of a source text" in refused(folder, "reference=x")
    assert "lines (-1) must be at least 0" in refused(folder, "lines=-1")
    assert "model is empty: write model=…" in refused(folder, "model=")
    other = folder / "elsewhere"
    shutil.copytree(folder / "run" / "best", other)
    result = call_here("export", f"model={other}", f"output={folder / 'refused'}")
    assert b"the test set of its run is not known here: set source=" in result.stderr
    result = call_here("export", f"model={other}", f"output={folder / 'unchecked'}", "lines=0")
    assert result.returncode == 0
    assert "lines" not in json.loads((folder / "unchecked" / "export.json").read_text())


def test_nothing_is_converted_for_a_hub_that_cannot_be_reached(folder, monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def fail(self):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub.HfApi, "whoami", fail)
    message = refused(folder, "format=huggingface", "push=me/x", "lines=0")
    assert "push=me/x: the Hugging Face hub refuses it: no network" in message
    assert not (folder / "refused").exists()


def test_lines_of_a_run_are_its_test_set_or_what_it_held_out(folder, tmp_path):
    found = lines_of_run(folder / "run" / "best")
    assert found.reference_paths == [str(folder / "corpus" / "test.tgt")]
    run = tmp_path / "run"
    (run / "held_out").mkdir(parents=True)
    config = (folder / "run" / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace(str(folder / "corpus" / "test"), "gone"))
    for side in ("source", "target"):
        (run / "held_out" / f"test.{side}").write_text(f"{side} of the test\n")
    assert lines_of_run(run).source == ["source of the test"]
    assert lines_of_run(tmp_path) is None


def test_given_lines_are_as_many_as_their_references(folder, tmp_path):
    (tmp_path / "two").write_text("a\nb\n")
    (tmp_path / "one").write_text("a\n")
    assert given_lines(str(tmp_path / "two"), "").source == ["a", "b"]
    with pytest.raises(ValueError, match=r"two has 2 lines, but .*one has 1"):
        given_lines(str(tmp_path / "two"), str(tmp_path / "one"))


def test_argostranslate_opens_the_package_and_translates_as_the_check_does(folder, tmp_path, monkeypatch):
    """Without network: it is given sentences, since its models of their boundaries would have to be downloaded."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    package = pytest.importorskip("argostranslate.package", reason="argostranslate is not installed")
    import ctranslate2
    from argostranslate.translate import apply_packaged_translation

    from translate.exporting.argos_package import package_in, translate_like_argos

    export(folder, "format=argos", *LANGUAGES, name="argos")
    package.install_from_path(package_in(folder / "argos"))
    [installed] = package.get_installed_packages()
    assert (installed.from_code, installed.to_code) == ("en", "de")
    translator = ctranslate2.Translator(str(installed.package_path / "model"), intra_threads=1)
    lines = (folder / "corpus" / "test.src").read_text().splitlines()
    found = [apply_packaged_translation(installed, line, translator, WholeLine(), 1)[0].value for line in lines]
    search = SearchConfig(beam_size=4, length_penalty=0.2)
    assert found == translate_like_argos(package_in(folder / "argos"), lines, search, threads=1)


class WholeLine:
    """Sentence boundaries for argostranslate: a line is one sentence."""

    def split_sentences(self, text: str) -> list[str]:
        return [text]
