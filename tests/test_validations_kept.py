"""Early stopping with a least gain, the best models, and the hypotheses of every validation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch

from small_runs import write_corpus
from stored_runs import log_of, train_here
from translate.errors import UserError
from translate.text import read_lines
from translate.training import validation_files
from translate.training.config import RunConfig
from translate.training.progress import RunProgress
from translate.training.state import TrainState
from translate.training.stopping import bound_reached
from translate.training.validation import SetValidation, Validation, Validator
from translate.training.validation_config import ValidationConfig
from translate.training.validation_files import write_hypotheses

SHORT = {
    "run__max_steps": 25,
    "validation__every": 5,
    "run__save_every": 5,
    "validation__metric": "loss",
    "averaging__last": 0,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=300)


def stale_after(scores: list[float], *, metric: str = "bleu", min_gain: float = 0.0) -> list[int]:
    """Validations without a gain, after each of these."""
    state = TrainState.__new__(TrainState)
    state.progress, found = RunProgress(), []
    for step, score in enumerate(scores, start=1):
        state.progress.step = step
        state.record_validation(metric, score, 1.0, min_gain=min_gain)
        found.append(state.progress.stale)
    assert state.progress.best == (min(scores) if metric == "loss" else max(scores))
    return found


def test_small_gains_count_for_patience_only_once_they_add_up():
    scores = [10.0, 10.2, 10.4, 10.6, 10.5, 11.2]
    assert stale_after(scores) == [0, 0, 0, 0, 1, 0]
    assert stale_after(scores, min_gain=0.5) == [0, 1, 2, 0, 1, 0]
    assert stale_after([3.0, 2.9, 2.4, 2.5], metric="loss", min_gain=0.5) == [0, 1, 0, 1]


def test_the_reason_to_stop_names_the_gain():
    progress = RunProgress(best=10.4, best_step=30, gain=10.0, stale=2)
    assert bound_reached(RunConfig(patience=2), progress) == (
        "run.patience=2: 2 validations in a row without a gain of validation.min_gain"
    )


def test_the_interval_of_several_sets_is_that_of_their_mean():
    sets = [SetValidation(name, 1.0, 1.0, None, None, half_width) for name, half_width in (("a", 3.0), ("b", 4.0))]
    assert Validation(sets).half_width == 2.5
    assert Validation(sets).least_gain("interval") == 1.25
    assert Validation(sets).least_gain("0.3") == 0.3


@pytest.mark.parametrize(("value", "metric"), [("much", "bleu"), ("-1", "bleu"), ("nan", "bleu"), ("interval", "loss")])
def test_a_wrong_gain_is_refused(value, metric):
    with pytest.raises(UserError, match=r"validation\.min_gain"):
        ValidationConfig(min_gain=value, metric=metric).check()


def canned(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Let validations give these losses."""
    remaining, original = iter(losses), Validator._losses

    def losses_of(self, batches):
        _, cross_entropy, uncovered = original(self, batches)
        return next(remaining), cross_entropy, uncovered

    monkeypatch.setattr(Validator, "_losses", losses_of)


def test_the_best_models_are_kept_and_a_continued_run_goes_on(corpus, tmp_path, monkeypatch):
    run = tmp_path / "run"
    canned(monkeypatch, [3.0, 2.0, 2.5, 2.9, 1.5])
    train_here(corpus, run, **SHORT | {"run__max_steps": 15, "run__keep_best": 2})
    assert sorted(path.name for path in (run / "best_models").iterdir()) == ["step-00000010", "step-00000015"]
    train_here(corpus, run, **SHORT | {"run__keep_best": 2})
    assert sorted(path.name for path in (run / "best_models").iterdir()) == ["step-00000010", "step-00000025"]
    manifest = json.loads((run / "best_models" / "step-00000025" / "manifest.json").read_text())
    assert manifest["step"] == 25
    first, second = (
        safetensors.torch.load_file(path / "weights.safetensors")
        for path in (run / "best_models" / "step-00000025", run / "best")
    )
    assert all(first[name].equal(second[name]) for name in first)


def test_patience_ends_a_run_whose_gains_are_small(corpus, tmp_path, monkeypatch):
    canned(monkeypatch, [3.0, 2.99, 2.98, 2.97, 2.96])
    train_here(corpus, tmp_path / "run", **SHORT | {"run__patience": 2, "validation__min_gain": 0.5})
    log = log_of(tmp_path / "run")
    assert "stopped at step 15: run.patience=2: 2 validations in a row without a gain" in log
    # the model is the best one all the same
    assert json.loads((tmp_path / "run" / "best" / "manifest.json").read_text())["step"] == 15


def test_hypotheses_of_every_validation_are_those_that_were_scored(corpus, tmp_path):
    run = tmp_path / "run"
    train_here(corpus, run, **SHORT | {"run__max_steps": 10})
    files = sorted((run / "validation").iterdir())
    assert [path.name for path in files] == ["step-00000005.txt", "step-00000010.txt"]
    assert [len(list(read_lines(path))) for path in files] == [30, 30]


def test_the_oldest_hypotheses_make_room_but_not_those_of_the_best_step(tmp_path, monkeypatch):
    class Scored:
        hypotheses = ("x" * 99,)

    monkeypatch.setattr(validation_files, "MOST_BYTES", 300)
    validation = Validation([SetValidation("a", 1.0, 1.0, None, Scored())])
    for step in (1, 2, 3, 4, 5):
        write_hypotheses(tmp_path, validation, step=step, best_step=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-0000000{step}.txt" for step in (2, 4, 5)]
