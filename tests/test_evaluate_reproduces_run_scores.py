"""python -m translate.evaluate on a run's own files: the run's own numbers, without being told its settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from in_process import call_here
from small_runs import options, write_corpus
from translate.decoding.config import EngineName
from translate.decoding.search.config import (
    SearchConfig,
    SearchMethod,
    describe_search,
    search_fields,
    search_note,
    search_of,
)
from translate.device import Capabilities, Device, Precision
from translate.errors import UserError
from translate.evaluate import EvaluateConfig, RunScoring, with_precision
from translate.model_directory import read_manifest, read_origin
from translate.tags import tagging_of


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Path]:
    """A run with a tag, decoded greedily, whose validation set is also its test set."""
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"))
    folder = tmp_path_factory.mktemp("runs") / "run"
    tags = {f"data__{split}__tag": "<back>" for split in ("train", "valid")}
    changes = {"data__test__source": None, "data__test__target": None, "tokenizer__vocab_size": 24}
    result = call_here("train", *options(corpus, folder, run__max_steps=80, **tags, **changes))
    assert result.returncode == 0, result.stderr.decode()
    return corpus, folder


def evaluate(run: tuple[Path, Path], *arguments: str) -> tuple[dict, str]:
    corpus, folder = run
    files = [f"source={corpus}/valid.src", f"reference={corpus}/valid.tgt", f"output={folder}/again"]
    result = call_here("evaluate", f"model={folder}", *files, "threads=1", "progress=false", *arguments)
    assert result.returncode == 0, result.stderr.decode()
    return json.loads((folder / "again" / "report.json").read_text(encoding="utf-8")), result.stdout.decode()


def test_evaluate_uses_tag_search_precision_and_tokenizer_of_the_run(run):
    before = json.loads((run[1] / "evaluation" / "report.json").read_text(encoding="utf-8"))
    after, printed = evaluate(run, "metrics=[bleu,chrf]")
    assert after["scores"] == before["scores"]
    assert after["decoding"] == before["decoding"]
    assert after["decoding"]["tag"] == "<back>"
    assert after["decoding"]["search"] == "greedy"
    assert after["decoding"]["precision"] in ("fp32", "fp16", "bf16")
    assert not after["notes"]
    assert f"precision {after['decoding']['precision']}, search greedy, tag <back>" in printed
    hypotheses = [(run[1] / folder / "hypotheses.txt").read_bytes() for folder in ("evaluation", "again")]
    assert hypotheses[0] == hypotheses[1]


def test_different_search_is_used_and_reported(run):
    report, printed = evaluate(run, "search=beam", "search.beam_size=3")
    assert report["decoding"]["search"] == "beam beam_size=3"
    assert report["notes"] == ["search: beam beam_size=3; the run's own scores were made with greedy"]
    assert report["notes"][0] in printed


def test_tagged_lines_keep_their_tag(run):
    tokenizer, _ = read_origin(run[1] / "best")
    tagging = tagging_of({"tag": "<de>", "tags": ["<de>", "<fr>"]}, tokenizer, as_validated=True)
    lines = [tagging.put_in_front(line) for line in ["x", "<fr> y", "a <fr>", ""]]
    assert lines == ["<de> x", "<fr> y", "<de> a <fr>", "<de> "]
    assert tagging_of({}, tokenizer, as_validated=True).put_in_front("x") == "x"


def test_decode_warns_when_its_search_differs_from_that_of_the_run(run):
    told = call_here("decode", f"model={run[1]}", "threads=1", "progress=false", stdin=b"1 2\n")
    assert b"search: beam beam_size=5; the run's own scores were made with greedy" in told.stderr


def test_models_of_earlier_versions_are_evaluated_with_defaults(run, tmp_path):
    older = shutil.copytree(run[1], tmp_path / "older")
    manifest = json.loads((older / "best" / "manifest.json").read_text(encoding="utf-8"))
    for key in ("tag", "bleu_tokenizer", "decoding_precision", "search"):
        del manifest[key]
    (older / "best" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (older / "best" / "checksums.json").unlink()  # which earlier versions did not write
    report, _ = evaluate((run[0], older))
    assert report["decoding"]["search"] == "beam beam_size=5"
    assert report["decoding"]["tag"] == "none"
    assert "tok:13a" in report["scores"]["bleu"]["signature"]
    assert not report["notes"]


def test_search_round_trips_through_the_manifest():
    search = SearchConfig(method=SearchMethod.sampling, top_k=3, seed=7, n_best=1)
    assert search_of(json.loads(json.dumps({"search": search_fields(search)}))) == search
    assert search_of({"search": {"method": "greedy", "of_a_later_version": 1}}) == SearchConfig(
        method=SearchMethod.greedy
    )
    assert search_of({}) is None
    for damaged in ({"search": "beam"}, {"search": {"method": "guess"}}):
        with pytest.raises(UserError, match=r"manifest\.json"):
            search_of(damaged)


def test_options_that_change_no_translation_are_not_a_different_search():
    beam, greedy = SearchConfig(), SearchConfig(method=SearchMethod.greedy)
    assert describe_search(beam) == "beam beam_size=5"
    assert describe_search(SearchConfig(length_penalty=0.6, n_best=5)) == "beam beam_size=5 length_penalty=0.6"
    assert not search_note(beam, SearchConfig(n_best=5, seed=2))
    assert not search_note(greedy, SearchConfig(method=SearchMethod.greedy, beam_size=9))
    assert search_note(beam, SearchConfig(max_length=9))
    assert search_note(beam, greedy) == "search: greedy; the run's own scores were made with beam beam_size=5"
    assert not search_note(None, greedy)


def test_precision_of_the_run_is_used_where_supported(monkeypatch):
    run = RunScoring.of({"decoding_precision": "fp32"})
    config = EvaluateConfig(device=Device.cpu)
    assert with_precision(config, run) == (EvaluateConfig(device=Device.cpu, precision=Precision.fp32), "")
    asked = EvaluateConfig(device=Device.cpu, precision=Precision.bf16)
    assert with_precision(asked, run) == (asked, "")
    other = EvaluateConfig(engine=EngineName.ctranslate2)
    assert with_precision(other, run) == (other, "the run's own scores were decoded in fp32 by engine=native")
    monkeypatch.setattr("translate.engines.capabilities", lambda device: Capabilities(on_gpu=False))
    config, note = with_precision(config, RunScoring.of({"decoding_precision": "bf16"}))
    assert config.precision is Precision.auto
    assert note == "the run's own scores were decoded in bf16, which this machine does not support, or emulates slowly"


def test_manifest_of_the_adapter_or_the_opened_model_is_read(tmp_path):
    files = {"run": [], "run/best": ["model.yaml"], "adapted/best": ["adapter.yaml"], "exported": ["model.yaml"]}
    for folder, names in files.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in [*names, "manifest.json"]:
            (tmp_path / folder / name).write_text(json.dumps({"of": folder}))
    run, adapted = tmp_path / "run", tmp_path / "adapted"
    assert read_manifest(run) == read_manifest(run / "best") == {"of": "run/best"}
    assert read_manifest(run, adapted) == read_manifest(run, adapted / "best") == {"of": "adapted/best"}
    assert read_manifest(tmp_path / "exported") == {"of": "exported"}
    assert read_manifest(tmp_path / "nothing") == {}


def test_damaged_manifest_raises_a_user_error():
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        RunScoring.of({"decoding_precision": "fp7"})
