"""A disk without room: one message, nothing lost that was whole, and the same command goes on once there is room."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from forked import fork_command
from in_process import call_here
from small_disks import remove_disk, resize_disk, small_disk
from small_runs import composed, options, register_train
from trained_model import trained_model
from translate.config.options import choices_of
from translate.config.sweep import run_sweep
from translate.console import start_log
from translate.disk_space import describe_full
from translate.errors import UserError
from translate.training import back_translation
from translate.training.config import TrainConfig
from translate.training.loggers.tensorboard_events import EventFile
from translate.training.stopping import Trial

FULL = "No space left on device"


@pytest.fixture(scope="module")
def model() -> Path:
    return trained_model()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 KiB."""
    if not small_disk(tmp_path / "disk", 100):
        pytest.skip("mounting a small disk is not allowed here")
    yield tmp_path / "disk"
    remove_disk(tmp_path / "disk")


def fill(disk: Path, *, free: int = 0) -> None:
    """Leave so many bytes free."""
    room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "ballast").write_bytes(bytes(room - free))


def words(model: Path, run: Path, **changes: object) -> list[str]:
    settings = {"run__max_steps": 20, "validation__every": 10, "run__save_every": 10}
    return options(model.parent / "corpus", run, **settings | changes)


def error_of(module: str, *arguments: str) -> str:
    """The only error line of a command that must fail."""
    process = call_here(module, *arguments)
    lines = process.stderr.decode().splitlines()
    assert process.returncode == 1, lines
    assert [line for line in lines if "Traceback" in line or "Exception" in line] == []
    errors = [line for line in lines if line.startswith("error: ")]
    assert errors == lines[-1:]
    return errors[0]


def test_run_continues_bit_for_bit_once_there_is_room(model, disk):
    resize_disk(disk, 960)  # room for one state and for models, not for two states
    run = disk / "run"
    for _ in range(2):
        error = error_of("train", *words(model, run))
        assert error.startswith(f"error: {run / 'state/step-00000020'} cannot be written: {FULL} (")
        assert error.endswith(f"; {run / 'state/step-00000010'} is kept: the same command continues once there is room")
        assert error.removeprefix("error: ") in (run / "train.log").read_text()
    resize_disk(disk, 4000)
    assert call_here("train", *words(model, run)).returncode == 0
    assert call_here("train", *words(model, disk.parent / "undisturbed")).returncode == 0
    for name in ("last", "best"):
        weights = f"{name}/weights.safetensors"
        assert (run / weights).read_bytes() == (disk.parent / "undisturbed" / weights).read_bytes()


def test_run_that_cannot_begin_or_be_scored_says_so(model, disk):
    fill(disk, free=0)
    assert error_of("train", *words(model, disk / "run")).startswith(f"error: run.dir: {disk / 'run'} cannot be")
    (disk / "ballast").unlink()
    resize_disk(disk, 4000)
    assert call_here("train", *words(model, disk / "run")).returncode == 0
    (disk / "run/result.json").unlink()
    (disk / "run/evaluation/report.json").unlink()
    fill(disk, free=4096)
    error = error_of("train", *words(model, disk / "run"))
    assert "/run/" in error
    assert error.endswith("state/step-00000020 is kept: the same command continues once there is room")
    (disk / "ballast").unlink()
    assert call_here("train", *words(model, disk / "run")).returncode == 0
    assert (disk / "run/result.json").exists()


def test_limit_on_file_sizes_ends_a_run_in_words(model, tmp_path):
    """SIGXFSZ is ignored by Python, and writing fails with EFBIG."""
    limit = 64 * 1024
    with open(tmp_path / "stderr", "wb") as err:
        child = fork_command(
            "train",
            *words(model, tmp_path / "run"),
            stdout=err.fileno(),
            stderr=err.fileno(),
            before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        assert child.end() == 1
    lines = (tmp_path / "stderr").read_text().splitlines()
    assert lines[-1].startswith("error: ")
    assert "cannot be written: File too large (the limit is 64.0 KiB, see ulimit -f" in lines[-1]
    assert lines[-1].endswith("; no state was saved yet: the same command starts again once there is room")
    assert "Traceback" not in "".join(lines)


@pytest.mark.parametrize("free", [8192, 24576])  # the second ends in an array of NumPy's, with an error of its own
def test_cache_without_room_is_named_and_made_later(model, disk, free):
    fill(disk, free=free)
    arguments = words(model, disk.parent / "run", data__cache=disk / "cache")
    error = error_of("train", *arguments)
    assert error.startswith(f"error: data.cache: {disk / 'cache'} cannot be written: {FULL} (")
    assert "make room, or set data.cache to another folder" in error
    resize_disk(disk, 2000)
    assert call_here("train", *arguments).returncode == 0


def test_back_translation_continues_once_there_is_room(model, disk, monkeypatch):
    resize_disk(disk, 8000)
    corpus, run = model.parent / "corpus", disk / "run"
    changes = {"back_translation__monolingual": corpus / "train.tgt", "run__max_steps": 10, "run__save_every": 10}
    arguments = words(model, run, experiment="back_translation", back_translation__keep=1, **changes)
    begin = back_translation._clear_if_outdated

    def begin_and_fill(folder: Path, key: str) -> None:
        begin(folder, key)
        fill(disk, free=0)

    with monkeypatch.context() as patch:
        patch.setattr(back_translation, "_clear_if_outdated", begin_and_fill)
        error = error_of("train", *arguments)
    assert error == (
        f"error: {run / 'synthetic/translations.tsv'} cannot be written: {FULL} (0 bytes free); "
        f"{run / 'reverse/state/step-00000010'} is kept: the same command continues once there is room"
    )
    (disk / "ballast").unlink()
    process = call_here("train", *arguments)
    assert process.returncode == 0
    assert b"translating 600 of 600 lines" in process.stderr
    assert (run / "best").exists()


def test_study_of_a_search_without_room_is_named(model, disk):
    pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
    resize_disk(disk, 400)
    register_train()
    arguments = [*words(model, disk / "search"), "sweep=optuna", "sweep.params={model.dropout: 'interval(0, 0.3)'}"]

    def fill_and_score(config: TrainConfig, trial: Trial) -> float:
        fill(disk, free=8192)  # enough for trials.tsv
        return 1.0

    with pytest.raises(UserError) as caught:
        run_sweep(arguments, composed, fill_and_score, choices_of)
    assert str(caught.value) == (
        f"{disk / 'search/study.db'}: database or disk is full; the same command continues the sweep"
    )


def test_decoded_and_evaluated_text_without_room_is_kept_as_far_as_it_came(model, disk):
    source = model.parent / "corpus/train.src"
    fill(disk, free=4096)
    long = disk.parent / "long"
    long.write_text(8 * source.read_text())  # at least 4,800 bytes of output, if only line ends
    error = error_of("decode", f"model={model}", f"input={long}", f"output={disk / 'out'}", "threads=1", "workers=1")
    [partial] = disk.glob("out.*.partial")
    assert (
        error
        == f"error: {disk / 'out'} cannot be written: {FULL} (0 bytes free); what was translated so far is in {partial}"
    )
    partial.unlink()
    reference = model.parent / "corpus/train.tgt"
    texts = [f"source={source}", f"reference={reference}", "bootstrap=0"]
    words = [f"model={model}", *texts, f"output={disk / 'report'}", "threads=1", "workers=1"]
    assert error_of("evaluate", *words).startswith(f"error: {disk / 'report'}")
    assert "\nBLEU " in call_here("evaluate", *words).stdout.decode()  # the scores are not lost


def events_of(folder: Path) -> dict[int, float]:
    events = EventAccumulator(str(folder)).Reload()
    return {event.step: event.value for event in events.Scalars("loss")} if events.Tags()["scalars"] else {}


def test_curves_are_readable_on_a_full_disk_and_complete_later(disk, caplog):
    folder = disk / "tensorboard"
    events = EventFile(folder)
    fill(disk, free=4096)
    for step in range(500):
        events.scalars({"loss": float(step)}, step)
        if step % 50 == 0:
            events.flush()
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once
    assert caplog.messages == [
        f"curves: {folder} cannot be written: {FULL} (0 bytes free); they follow once there is room"
    ]
    assert 0 < len(events_of(folder)) < 450
    (disk / "ballast").unlink()
    events.flush()
    assert events_of(folder) == {step: float(step) for step in range(500)}
    assert len(caplog.messages) == 1


def test_log_without_room_is_noted_once_on_the_terminal(disk, capsys):
    fill(disk, free=4096)
    log = logging.getLogger("translate")
    start_log(path=disk / "train.log")
    try:
        for number in range(300):
            log.info(f"line {number} of a log")
        (disk / "ballast").unlink()
        log.info("there is room")
    finally:
        for handler in log.handlers:
            handler.close()
        log.handlers = []
        logging.captureWarnings(False)
    shown = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("line ") for line in shown) == 300
    assert [line for line in shown if not line.startswith(("line ", "there is"))] == [
        f"warning: {disk / 'train.log'} cannot be written: its lines are lost until there is room"
    ]
    assert (disk / "train.log").read_text().endswith("there is room\n")


def test_message_tells_the_room_that_is_needed(tmp_path):
    error = describe_full(tmp_path / "new/state", OSError(28, FULL), needed=3 * 2**20)
    assert error.startswith(f"{tmp_path / 'new/state'} cannot be written: {FULL} (")
    assert error.endswith(" free, about 3.0 MiB needed)")
    assert describe_full("x", OSError(122, "Disk quota exceeded")) == "x cannot be written: Disk quota exceeded"
