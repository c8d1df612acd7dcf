"""Errors of validation, of TensorBoard and of the final evaluation save what was trained; signals to other commands."""

from __future__ import annotations

import signal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from forked import forked, waiting_in
from small_runs import composed, options, write_corpus
from translate.distributed import World
from translate.errors import UserError
from translate.train import train
from translate.training import final_evaluation, tracking, validation
from translate.training.stopping import StopRequests

CHANGES = {"run__max_steps": 20, "validation__every": 10, "run__save_every": 1000, "averaging__last": 0}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=300)


@pytest.fixture(scope="module")
def undisturbed(corpus: Path) -> Path:
    assert train(composed(options(corpus, corpus / "undisturbed", **CHANGES))) is not None
    return corpus / "undisturbed"


def saved_steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (folder / "state").glob("step-????????"))


@pytest.mark.parametrize(
    ("owner", "name", "call", "error", "step"),
    [
        (validation, "evaluate_corpus", 1, UserError("out of translators"), 10),
        (validation, "label_smoothed_cross_entropy", 1, ZeroDivisionError("a bug"), 10),
        (tracking.Reporter, "validation", 2, AssertionError("a bug"), 20),
        (tracking.SummaryWriter, "add_scalar", 1, OSError(28, "No space left on device"), 5),
        (final_evaluation, "evaluate_corpus", 1, RuntimeError("a bug"), 20),
    ],
)
def test_an_error_costs_no_update_and_the_same_command_continues(
    corpus, undisturbed, tmp_path, monkeypatch, owner, name, call, error, step
):
    folder, original, calls = tmp_path / "run", getattr(owner, name), iter(range(1, 1000))

    def failing(*arguments: Any, **settings: Any) -> Any:
        if next(calls) == call:
            raise error
        return original(*arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, failing)
        with pytest.raises(type(error), match=error.args[-1]):
            train(composed(options(corpus, folder, **CHANGES)))
    assert saved_steps(folder)[-1] == step
    log = (folder / "train.log").read_text(encoding="utf-8")
    assert f"step {step} is saved in {folder}; the same command continues the run" in log or step == 20
    assert str(error) in log.splitlines()[-1]
    assert train(composed(options(corpus, folder, **CHANGES))) is not None
    for file in ("best/weights.safetensors", "state/step-00000020/weights.safetensors", "evaluation/hypotheses.txt"):
        assert (folder / file).read_bytes() == (undisturbed / file).read_bytes()
    if (folder / "state" / f"step-{step:08}").is_dir() and owner is validation:
        # the validation that failed was made up for
        assert f"step {step}  valid " in (folder / "train.log").read_text(encoding="utf-8")


def test_an_error_of_one_process_ends_the_others():
    class Spy(World):
        def sum(self, values: Any) -> Any:
            sums.append(values)
            return sum(sums)

    failed, other, sums = StopRequests(error=KeyError("there")), StopRequests(), []
    failed.agree(Spy())
    other.agree(Spy())
    assert other
    assert other.describe() == "an error"
    with pytest.raises(UserError, match="another process of the run has failed"):
        other.raise_error()
    with pytest.raises(KeyError):
        failed.raise_error()


def test_a_run_bounded_by_minutes_says_what_they_count(corpus, tmp_path):
    train(composed(options(corpus, tmp_path / "run", **CHANGES | {"run__max_minutes": 0.001, "run__max_steps": 0})))
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert "these 0.001 minutes are of updates, validations and saving, in all sessions" in log
    assert "the test set is translated after them" in log
    assert "stopped at step" in log


def data_options(corpus: Path) -> list[str]:
    return [word for word in options(corpus, corpus) if word.startswith("data") and "cache" not in word]


SEARCH = ("decoding.native_engine", "DecodingJob.run")


@pytest.mark.parametrize(
    ("command", "words", "function"),
    [
        ("decode", "model={run} input={text} output={out}", SEARCH),
        ("evaluate", "model={run} source={text} reference={text} output={out}", SEARCH),
        ("explain", "model={run} input={text} output={out}", SEARCH),
        ("compare", "reference={text} baseline={text}", ("evaluation.metrics", "score")),
        ("prepare", "data.cache={out}/cache output={out}", ("data.clean_text", "_Writer.add")),
    ],
)
def test_a_signal_ends_every_command_with_its_status(corpus, undisturbed, tmp_path, command, words, function):
    import_module(f"translate.{command}")
    paths = {"run": undisturbed, "text": corpus / "train.src", "out": tmp_path / "out"}
    arguments = words.format(**paths).split() + (data_options(corpus) if command == "prepare" else [])
    with forked(tmp_path / "errors", command, *arguments, before=waiting_in(*function)) as process:
        process.wait_for("here")
        process.send(signal.SIGTERM)
        assert process.end() == 143
    assert process.said().endswith("SIGTERM: stopping; again to end at once\n")
    assert "Traceback" not in process.said()
    assert not [path for path in tmp_path.rglob("out/**/*") if path.is_file() and ".lock" not in path.name]


def test_a_signal_ends_back_translation_between_its_runs(corpus, tmp_path):
    settings = {"experiment": "back_translation", "back_translation__monolingual": corpus / "train.tgt"}
    arguments = options(corpus, tmp_path / "run", **CHANGES, **settings)
    change = waiting_in("training.back_translation", "_translate_from")
    with forked(tmp_path / "errors", "train", *arguments, before=change) as process:
        process.wait_for("here")
        process.send(signal.SIGHUP)
        assert process.end() == 129
    assert process.said().endswith("SIGHUP: stopping; again to end at once\n")
    assert not (tmp_path / "run" / "train.log").exists()
