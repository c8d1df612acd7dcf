"""scripts/compare_runs.py: its table shows what the runs have shown."""

import argparse
import json
import shutil
import sys
from pathlib import Path

import pytest

import compare_runs
from in_process import call_here
from small_runs import composed, options, write_corpus
from translate.files import read_json
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run, and a copy of it whose translations are the references themselves."""
    folder = tmp_path_factory.mktemp("runs")
    corpus = write_corpus(folder / "corpus")
    result = call_here("train", *options(corpus, folder / "trained", run__max_steps=30, validation__every=30))
    assert result.returncode == 0, result.stderr.decode()
    shutil.copytree(folder / "trained", folder / "perfect")
    shutil.copy(corpus / "test.tgt", folder / "perfect" / "evaluation" / "hypotheses.txt")
    return {name: folder / name for name in ("trained", "perfect")}


def test_every_architecture_and_every_loss_takes_part():
    compared = {name: " ".join(runs.values()) for name, runs in compare_runs.COMPARISONS.items()}
    assert all(f"auxiliary=[{name}]" in compared["losses"] for name in AUXILIARY_LOSSES)
    assert len(ARCHITECTURES) <= len(compare_runs.COMPARISONS["models"])
    assert all(f"adapt={name}" in compared["adaptations"] for name in ("full", "lora", "adapter", "prefix"))


@pytest.mark.parametrize("comparison", ["recipe", "hand_tuned"])
def test_every_candidate_is_a_configuration(comparison):
    common = compare_runs.COMMON[comparison].split()
    for own in compare_runs.COMPARISONS[comparison].values():
        config = composed([*common, *own.split()])
        for part in (config.model, config.optimizer, config.sampling, config.batch):
            part.check()


def test_other_comparisons_are_of_one_experiment():
    others = {name: common for name, common in compare_runs.COMMON.items() if name not in ("recipe", "hand_tuned")}
    assert set(others.values()) == {"experiment=comparison"}


def test_comparison_on_several_corpora_has_a_folder_for_each(tmp_path):
    arguments = argparse.Namespace(runs=tmp_path, data=Path("/data"), corpora=["multi30k", "tatoeba-cmn-eng"])
    chosen = compare_runs.corpora(arguments)
    assert list(chosen) == [tmp_path / "multi30k", tmp_path / "tatoeba-cmn-eng"]
    data = [composed(options).data for options in chosen.values()]
    assert data[0].train.source == "/data/multi30k/train.en"
    assert (data[1].valid.target, data[1].source_language) == ("/data/tatoeba-cmn-eng/valid.en", "zh")
    arguments.data = None
    assert compare_runs.corpora(arguments) == {tmp_path: []}


def test_row_of_a_run_is_read_from_its_files(runs):
    row = compare_runs.facts(runs["trained"], runs["trained"], tests=[])
    report = read_json(runs["trained"] / "evaluation" / "report.json")
    score = report["scores"]["bleu"]
    assert row["BLEU"] == f"{score['value']:.1f} ± {score['interval']:.1f}"
    assert row["updates"] == 30
    assert row["learning rate"] == "5.0e-03"
    log = (runs["trained"] / "train.log").read_text(encoding="utf-8")
    assert f"with {row['trained parameters']:,} parameters" in log
    assert 0 <= float(row["uncovered source tokens"].rstrip("%")) <= 100


def test_significance_needs_a_difference(runs):
    assert float(compare_runs.facts(runs["perfect"], runs["trained"], tests=[])["p"]) < 0.01
    assert compare_runs.facts(runs["trained"], runs["trained"], tests=[])["p"] is None


def test_table_has_a_row_for_each_run_and_their_lengths(runs):
    scores, _, by_length, made = compare_runs.document(runs, "trained", tests=[]).split("\n\n")
    for name in runs:
        assert f"| {name} " in scores
        assert f"| {name} " in by_length
    assert "commit: " in made


def test_finished_run_is_not_repeated(runs, capfd):
    compare_runs.train(runs["trained"], ["run.max_steps=60"])
    assert not capfd.readouterr().out


def test_unknown_run_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare_runs.py", "models", "--only", "mamba"])
    with pytest.raises(SystemExit):
        compare_runs.main()
    assert "unknown run mamba; choose from transformer, " in capsys.readouterr().err


def test_runs_that_were_trained_are_compared_by_the_command(runs):
    options = ["bootstrap=100", "trials=100", "metrics=[bleu,chrf]", "format=json"]
    result = call_here("compare", *map(str, runs.values()), f"baseline={runs['trained']}", *options)
    assert result.returncode == 0, result.stderr.decode()
    document = json.loads(result.stdout)
    trained, perfect = document["systems"]
    report = read_json(runs["trained"] / "evaluation" / "report.json")
    assert trained["scores"]["bleu"]["value"] == report["scores"]["bleu"]["value"]
    assert perfect["scores"]["bleu"]["value"] == pytest.approx(100)
    assert (trained["status"], trained["step"]) == ("finished", 30)
    log = (runs["trained"] / "train.log").read_text(encoding="utf-8")
    assert f"with {trained['parameters']:,} parameters" in log
    assert document["verdicts"][0].startswith("perfect is better than trained by ")
    assert [group["lines"] for group in document["by_length"]] == [20]
    assert f"{runs['perfect']}: its report has" in result.stderr.decode()
