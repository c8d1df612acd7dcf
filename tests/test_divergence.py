"""Runs that diverge, states that cannot be used, and the choice of the best validation."""

import json
import math
import pickle
from dataclasses import replace

import pytest
import safetensors.torch
import torch
import yaml

from event_files import hparams_row
from small_runs import composed, options, write_corpus
from stored_runs import BLOWN_UP, SHORT, changes_of, last_weights, log_of, states, train_here
from translate.config.sweep import run_trial
from translate.distributed import World
from translate.errors import DivergedError, UserError
from translate.text import read_lines
from translate.train import train
from translate.training import step as step_module
from translate.training.progress import RunProgress, is_better
from translate.training.recovery import discard_diverged
from translate.training.run_folder import RunFolder
from translate.training.state_folder import StateFolder
from translate.training.stopping import Trial, read_trials
from translate.training.validation import Validator

NAN, INF = math.nan, math.inf


VALIDATE, TRAIN_STEP = Validator.run, step_module.train_step


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=200)


def test_after_divergence_a_lower_rate_resumes_from_the_last_good_state(corpus, tmp_path):
    folder = tmp_path / "run"
    train_here(corpus, folder)
    good = last_weights(folder)
    longer = {"run__max_steps": 30, "run__save_every": 1, "run__keep": 3}
    with pytest.raises(DivergedError, match=r"not finite in 8 updates in a row") as error:
        train_here(corpus, folder, **longer, **BLOWN_UP, run__max_skipped=8)
    assert "continues from step 10" in str(error.value)
    assert f"run.dir={folder}" in str(error.value)
    # neither what was saved while updates were skipped, nor the weights that began it
    assert states(folder)[-1] == "step-00000010"
    assert all(torch.equal(good[name], weight) for name, weight in last_weights(folder).items())
    train_here(corpus, folder, **longer, run__max_skipped=8)
    log = log_of(folder)
    assert log.count("continuing from step 10") == 2
    assert f"error: {error.value}" in log
    assert "step 30" in log
    # the failed attempt's entries at the same step are replaced by what they came to
    assert {(entry["step"], entry["key"]) for entry in changes_of(folder)} == {
        (10, "run.max_steps"),
        (10, "run.save_every"),
    }


def test_divergence_without_a_saved_state_restarts_from_scratch(corpus, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(DivergedError, match="starts from scratch, because no state had been saved before"):
        train_here(corpus, folder, **BLOWN_UP, run__max_skipped=3, run__max_steps=20)
    assert states(folder) == []
    train_here(corpus, folder, tokenizer__vocab_size=21)
    assert yaml.safe_load((folder / "config.yaml").read_text())["tokenizer"]["vocab_size"] == 21
    assert states(folder)[-1] == "step-00000010"


def test_state_with_weights_that_are_not_finite_is_skipped(corpus, tmp_path):
    folder = tmp_path / "run"
    train_here(corpus, folder)
    expected = {name: weight.clone() for name, weight in last_weights(folder).items()}  # the file is overwritten
    path = folder / "state" / "step-00000010" / "weights.safetensors"
    weights = safetensors.torch.load_file(path)
    next(iter(weights.values()))[0] = NAN
    path.write_bytes(safetensors.torch.save(weights))
    (path.parent / "checksums.json").unlink()
    train_here(corpus, folder)
    assert "step-00000010 is left out: its weights are not finite" in log_of(folder)
    assert "continuing from step 5" in log_of(folder)
    for name, weight in last_weights(folder).items():
        assert torch.equal(weight, expected[name]), name


def test_damaged_state_is_skipped_for_the_previous_one(corpus, tmp_path):
    folder = tmp_path / "run"
    train_here(corpus, folder)
    expected = {name: weight.clone() for name, weight in last_weights(folder).items()}  # the file is overwritten
    for name, content in (
        ("weights.safetensors", b"\x08"),
        ("training.pt", b"junk"),
        ("training.pt", pickle.dumps(print)),  # code: it is not run
        ("training.pt", b""),
        ("progress.json", b""),
        ("progress.json", b"{}"),
    ):
        (folder / "state" / "step-00000010" / name).write_bytes(content)
        (folder / "state" / "step-00000010" / "checksums.json").unlink()  # as in a state of an earlier version
        folder.joinpath("train.log").unlink()
        train_here(corpus, folder)
        assert "step-00000010 is damaged (" in log_of(folder), name
        assert "continuing from step 5" in log_of(folder), name
        for weight, other in zip(last_weights(folder).values(), expected.values(), strict=True):
            assert torch.equal(weight, other), name
    for state in states(folder):
        (folder / "state" / state / "progress.json").write_bytes(b"")
    with pytest.raises(UserError, match="no state of the run can be read"):
        train_here(corpus, folder)


def test_states_with_a_loss_above_uniform_guessing_are_discarded(tmp_path):
    """Of 100 tokens guessing costs ln 100 = 4.6 nats; the numbers of a model that blows up may long be finite."""
    for step, loss in ((10, 5.0), (20, None), (30, 9.0), (40, 9.5), (50, 3.0), (60, 3.0)):
        folder = tmp_path / "state" / f"step-{step:08}"
        folder.mkdir(parents=True)
        (folder / "progress.json").write_text(json.dumps({"step": step, "loss": loss, "place": {}}))
        for name in ("weights.safetensors", "training.pt"):
            (folder / name).touch()
    progress = RunProgress(step=65, skipped_in_a_row=10, last_success=50)
    states = StateFolder(RunFolder(tmp_path), World(), keep=5, vocab_size=100)
    assert discard_diverged(states, progress) == 30
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [f"step-{step:08}" for step in (10, 20, 30)]


@pytest.mark.parametrize("metric", ["loss", "bleu"])
def test_a_run_without_a_finite_validation_ends_with_a_message(corpus, tmp_path, metric):
    with pytest.raises(DivergedError, match="no validation gave a finite"):
        train_here(corpus, tmp_path / "run", **BLOWN_UP, validation__metric=metric)
    assert not (tmp_path / "run" / "best").exists()
    assert "best so far" not in log_of(tmp_path / "run")


@pytest.mark.parametrize(
    ("scale", "cause"), [(1.0, "the loss or gradient was not finite"), (512.0, "the loss scale of fp16 was too large")]
)
def test_state_due_at_a_skipped_update_is_saved_after_the_next_one(corpus, tmp_path, monkeypatch, scale, cause):
    """In fp16 single updates are skipped as a matter of course, while the loss scale is sought."""

    def fail_at_step_5(*arguments, **settings):
        pending = TRAIN_STEP(*arguments, **settings)
        if pending.step != 5:
            return pending
        *others, _, spiked, _ = pending.numbers.tolist()  # gradient norm and loss scale are replaced
        return replace(pending, numbers=torch.tensor([*others, INF, spiked, scale]))

    monkeypatch.setattr(step_module, "train_step", fail_at_step_5)
    train_here(corpus, tmp_path / "run", run__max_skipped=1 if scale > 1 else 2)
    assert states(tmp_path / "run") == ["step-00000006", "step-00000010"]
    log = log_of(tmp_path / "run")
    assert f"step 5: {cause}; the update is skipped (1 so far)" in log
    assert log.count("is not saved") == 1
    assert "1 skipped" in log


def test_skipped_updates_are_logged_sparsely(corpus, tmp_path):
    with pytest.raises(DivergedError):
        train_here(corpus, tmp_path / "run", **BLOWN_UP, run__max_skipped=15, run__max_steps=30)
    lines = [line for line in read_lines(tmp_path / "run" / "train.log") if "the update is skipped" in line]
    assert [line.rpartition("(")[2] for line in lines] == ["1 so far)", "10 so far)"]


def canned(monkeypatch, losses, bleu=0.0):
    """Validations with these losses and this BLEU, in order."""
    left = list(losses)

    def run(self, weights=None, **settings):
        validation = VALIDATE(self, weights, **settings)
        (only,) = validation.sets
        for score in only.evaluation.scores.values():
            object.__setattr__(score, "value", bleu)
        object.__setattr__(only, "loss", left.pop(0))
        return validation

    monkeypatch.setattr(Validator, "run", run)


def test_lower_loss_breaks_ties_of_scores_without_resetting_patience(corpus, tmp_path, monkeypatch):
    canned(monkeypatch, [3.0, 2.5, 2.0, 2.2, 2.1])
    train_here(corpus, tmp_path / "run", run__max_steps=100, run__patience=2)
    assert "no better validation since step 15" in log_of(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "best" / "manifest.json").read_text())["step"] == 15


def test_averaged_model_has_the_score_of_the_run_when_it_is_best(corpus, tmp_path, monkeypatch):
    """In a sweep: what Optuna and trials.tsv get, the HParams tab and result.json, this time and every later one."""
    trial = Trial(sweep=tmp_path, number=0, metric="loss", varied={})
    settings = {**SHORT, "averaging__last": 2, "validation__metric": "loss"}
    config = composed(options(corpus, trial.folder, **settings))
    canned(monkeypatch, [3.0, 2.9, 1.5])
    assert run_trial(config, trial, train) == 1.5
    manifest = json.loads((trial.folder / "best" / "manifest.json").read_text())
    assert manifest["averaged"] == ["step-00000005", "step-00000010"]
    assert json.loads((trial.folder / "result.json").read_text())["validation"]["value"] == 1.5
    assert hparams_row(trial.folder)[1]["valid loss"] == 1.5
    assert "trial 0 over, loss 1.50; best of 1: trial 0, loss 1.50" in log_of(trial.folder)
    average = safetensors.torch.load_file(trial.folder / "best" / "weights.safetensors")
    raw = [safetensors.torch.load_file(state / "weights.safetensors") for state in (trial.folder / "state").glob("*")]
    for name, weight in average.items():
        torch.testing.assert_close(weight, (raw[0][name] + raw[1][name]) / 2)
    # the same command again, and a longer run, whose next model is better than the last but not than the average
    assert run_trial(config, trial, train) == 1.5
    assert [row["loss"] for row in read_trials(tmp_path)] == ["1.5000"]
    canned(monkeypatch, [2.0, 1.9])
    config.run.max_steps = 15
    assert run_trial(config, trial, train) == 1.5
    assert json.loads((trial.folder / "best" / "manifest.json").read_text())["averaged"] == manifest["averaged"]


class PrunesAll:
    """A pruner that ends every trial early."""

    def report(self, value, step):
        pass

    def should_prune(self):
        return True


def test_a_trial_without_a_finite_validation_has_failed(corpus, tmp_path):
    trial = Trial(sweep=tmp_path, number=0, metric="bleu", varied={}, pruner=PrunesAll())
    config = composed(options(corpus, trial.folder, **SHORT, **BLOWN_UP, averaging__last=0))
    assert math.isnan(run_trial(config, trial, train))
    assert [row["bleu"] for row in read_trials(tmp_path)] == ["nan"]


@pytest.mark.parametrize(
    ("metric", "candidate", "best", "expected"),
    [
        ("loss", (2.0, 2.0), (3.0, 3.0), True),
        ("loss", (3.0, 3.0), (2.0, 2.0), False),
        ("loss", (5.0, 5.0), (NAN, NAN), True),
        ("bleu", (5.0, 3.0), (4.0, 2.0), True),
        ("bleu", (4.0, 1.0), (5.0, 2.0), False),
        ("bleu", (0.0, 2.0), (0.0, 3.0), True),
        ("bleu", (0.0, 3.0), (0.0, 2.0), False),
        ("bleu", (0.0, 3.0), (0.0, 3.0), False),
        ("ter", (90.0, 2.0), (90.0, 3.0), True),
        ("bleu", (0.0, 3.0), (0.0, None), True),
        ("bleu", (0.0, 3.0), (0.0, NAN), True),
        ("bleu", (9.0, 3.0), (None, None), True),
        *((metric, (value, 1.0), (None, None), False) for metric in ("loss", "bleu") for value in (NAN, INF, -INF)),
        *(("bleu", (9.0, loss), (best, 2.0), False) for loss in (NAN, INF) for best in (None, 0.0)),
    ],
)
def test_comparison_of_validations(metric, candidate, best, expected):
    (value, loss), (best_value, best_loss) = candidate, best
    assert is_better(metric, value, best_value, loss=loss, best_loss=best_loss) is expected
