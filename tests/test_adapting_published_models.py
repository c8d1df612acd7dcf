"""Published models trained further: converted, scored before, trained at a low rate, exported again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import published_models as published
from in_process import call_here
from small_runs import REPOSITORY, composed
from translate.convert import ConvertConfig, convert
from translate.errors import UserError
from translate.importing.huggingface import local_model
from translate.model_directory import CACHE

transformers = pytest.importorskip("transformers", reason="the extra huggingface is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path_factory.getbasetemp() / "conversions"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for split, (start, end) in {"train": (0, 200), "valid": (200, 210), "test": (210, 220)}.items():
        for language in ("en", "de"):
            lines = (REPOSITORY / "data" / "en-de" / f"train.{language}").read_text(encoding="utf-8").splitlines()
            (folder / f"{split}.{language}").write_text("\n".join(lines[start:end]) + "\n", encoding="utf-8")
    return folder


def arguments(corpus: Path, run: Path, model: Path, method: str, **changes: object) -> list[str]:
    settings = {
        "data": "text_files",
        "data.source_language": "en",
        "data.target_language": "de",
        "data.cache": corpus / "cache",
        **{
            f"data.{split}.{side}": corpus / f"{split}.{language}"
            for split in ("train", "valid", "test")
            for side, language in (("source", "en"), ("target", "de"))
        },
        "data.cleaning.max_tokens": 100,
        "adapt": method,
        "adapt.model": model,
        "batch.tokens": 256,
        "search": "greedy",
        "search.max_length": 10,
        "run.max_steps": 6,
        "validation.every": 6,
        "run.save_every": 6,
        "averaging.last": 0,
        "compute.threads": 1,
        "run.dir": run,
    }
    return [f"{key}={value}" for key, value in (settings | changes).items()]


@pytest.mark.parametrize(
    ("make", "method"),
    [(published.make_marian, "full"), (published.make_m2m100, "lora"), (published.make_nllb, "full")],
    ids=["marian", "m2m100", "nllb"],
)
def test_published_model_is_scored_then_trained_further(tmp_path, corpus, make, method):
    directory, run = make(tmp_path / "published"), tmp_path / "run"
    process = call_here("train", *arguments(corpus, run, directory, method))
    assert process.returncode == 0, process.stderr.decode()
    log = (run / "train.log").read_text(encoding="utf-8")
    assert "before adaptation  valid BLEU" in log
    assert "before adaptation  test BLEU" in log
    assert f"adapt={method} chooses optimizer.learning_rate={0.0003 if method == 'full' else 0.003}" in log
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert result["before"]["tests"]["test"].keys() == {"bleu", "chrf"}
    assert result["before"]["validation"]["loss"] > result["validation"]["loss"]
    command = [f"input={corpus / 'test.en'}", f"output={tmp_path / 'hypotheses'}", "threads=1", "precision=fp32"]
    if method == "lora":
        base = tmp_path / "base"
        converted = call_here(
            "convert", f"model={directory}", f"output={base}", "source_language=en", "target_language=de"
        )
        assert converted.returncode == 0, converted.stderr.decode()
        process = call_here("decode", f"model={base}", f"adapter={run}", *command)
    else:
        process = call_here("decode", f"model={run}", *command)
        manifest = json.loads((run / "best" / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["imported"] == str(directory)
    assert process.returncode == 0, process.stderr.decode()
    assert len((tmp_path / "hypotheses").read_text(encoding="utf-8").splitlines()) == 10


def test_given_rate_and_recipe_stay(tmp_path, corpus):
    model = published.make_marian(tmp_path / "published")
    given = composed(arguments(corpus, tmp_path / "run", model, "full", **{"optimizer.learning_rate": 1e-3}))
    assert given.chosen == []
    assert composed(arguments(corpus, tmp_path / "run", model, "full", recipe="fixed")).chosen == []
    open_rate = composed(arguments(corpus, tmp_path / "run", model, "full")).chosen
    assert open_rate == ["optimizer.learning_rate"]


def test_conversion_is_made_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    model = published.make_marian(tmp_path / "published")
    with caplog.at_level("INFO"):
        first, second = local_model(str(model)), local_model(str(model))
    assert first == second
    assert sum("converting" in record.message for record in caplog.records) == 1


def test_a_name_of_the_hub_is_asked_for_there(tmp_path, monkeypatch):
    import huggingface_hub

    published.make_marian(tmp_path / "snapshot")
    asked = []

    def snapshot_download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision))
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert (local_model("some-group/some-model@v1") / "model.yaml").is_file()
    assert asked == [("some-group/some-model", "v1")]
    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="cannot be downloaded from the Hugging Face hub"):
        local_model("some-group/another-model")


@pytest.mark.parametrize(("languages", "reason"), [(("en", ""), "set target_language"), (("en", "xx"), "no such")])
def test_direction_of_a_model_of_many_languages_is_asked_for(tmp_path, languages, reason):
    model = published.make_m2m100(tmp_path / "published")
    options = [f"{side}_language={language}" for side, language in zip(("source", "target"), languages, strict=True)]
    process = call_here("convert", f"model={model}", f"output={tmp_path / 'ours'}", *options)
    assert process.returncode == 1
    assert "language" in process.stderr.decode()
    assert reason.split()[-1] in process.stderr.decode()


def test_a_model_that_was_trained_further_is_not_replaced_by_a_conversion(tmp_path):
    model, output = published.make_marian(tmp_path / "published"), tmp_path / "ours"
    convert(ConvertConfig(model=str(model), output=str(output), source_language="en", target_language="de"))
    convert(ConvertConfig(model=str(model), output=str(output), source_language="en", target_language="de"))
    manifest = output / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "step": 100}))
    with pytest.raises(UserError, match="holds a model that was trained here"):
        convert(ConvertConfig(model=str(model), output=str(output), source_language="en", target_language="de"))
    (output / "checksums.json").unlink()
    with pytest.raises(UserError, match="nothing to convert"):
        convert(
            ConvertConfig(model=str(output), output=str(tmp_path / "new"), source_language="en", target_language="de")
        )
