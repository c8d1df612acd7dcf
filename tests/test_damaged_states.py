"""Damaged states of a run: named and set aside; the one before continues as if they had never been written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from damaged_runs import OPTIONS, contents, copy_of, cut, flip, make_original
from stored_runs import assert_identical, changes_of, log_of, states, train_here
from translate.checksums import DamagedError
from translate.distributed import World
from translate.errors import UserError
from translate.files import read_json, write_json
from translate.training import state_folder
from translate.training.run_folder import RunFolder
from translate.training.state_folder import StateFolder, read_state


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_original(tmp_path_factory.mktemp("damage"))


@pytest.fixture
def corpus(original: Path) -> Path:
    return original.parent / "corpus"


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    return copy_of(original, tmp_path / "run")


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")


def swap(folder: Path) -> None:
    """With the same file of the state before, which has the same size."""
    for name in ("weights.safetensors", "average.safetensors"):
        (folder / name).write_bytes((folder.with_name("step-00000005") / name).read_bytes())


def remove(folder: Path) -> None:
    (folder / "training.pt").unlink()


def flip_average(folder: Path) -> None:
    flip(folder / "average.safetensors")


def test_damaged_newest_state_is_set_aside_and_the_one_before_continues(corpus, original, run):
    """A later one does not collide with the first, and all of them stay."""
    newest = run / "state" / "step-00000010"
    aside = []
    damages = {
        cut: "has 1,000 bytes instead of",
        empty: "checksums.json is damaged",
        swap: "average.safetensors differs from what was written (SHA-256)",
        flip_average: "average.safetensors differs from what was written (SHA-256)",
        remove: "training.pt is missing",
    }
    for number, (damage, finding) in enumerate(damages.items(), start=1):
        damage(newest)
        damaged = contents(newest)
        train_here(corpus, run, **OPTIONS)
        aside.append("step-00000010.damaged" + (f"-{number}" if number > 1 else ""))
        assert f"{newest} is damaged (" in log_of(run)
        assert finding in log_of(run)
        assert f"and set aside as {aside[-1]}\n" in log_of(run)
        assert "continuing from step 5," in log_of(run)
        assert contents(run / "state" / aside[-1]) == damaged
        assert_identical(run, original)
        (run / "train.log").unlink()
    assert sorted(path.name for path in (run / "state").iterdir()) == sorted(["step-00000005", "step-00000010", *aside])


def test_generator_state_of_impossible_content_is_damage(corpus, original, run):
    """As a state without checksums, of an older version, may have it."""
    newest = run / "state" / "step-00000010"
    training = torch.load(newest / "training.pt", weights_only=True)
    training["random"][0]["cpu"].zero_()
    torch.save(training, newest / "training.pt")
    (newest / "checksums.json").unlink()
    train_here(corpus, run, **OPTIONS)
    assert "training.pt has no states of random generators" in log_of(run)
    assert "continuing from step 5," in log_of(run)
    assert_identical(run, original)


def test_run_without_a_readable_state_ends_with_one_line_and_keeps_them(corpus, run):
    for state in states(run):
        flip(run / "state" / state / "average.safetensors")
    before = states(run)
    for _ in range(2):  # nothing is moved, and so the second try does not start anew
        with pytest.raises(UserError, match=r"state: no state of the run can be read \(step-00000010: average\.safe"):
            train_here(corpus, run, **OPTIONS)
    assert states(run) == before


class Second(World):
    """A process of rank 1, which is told that the main process continues from a state."""

    def __init__(self, folder: Path):
        super().__init__(rank=1, size=2)
        object.__setattr__(self, "chosen", folder)

    def from_main(self, value: object) -> object:
        return self.chosen, ""


def test_other_processes_follow_the_main_one_and_read_no_checksums(run, monkeypatch):
    chosen = run / "state" / "step-00000005"
    monkeypatch.setattr(state_folder, "verify_state", lambda folder: pytest.fail(f"{folder} was verified"))
    restored = []

    class Taken:
        step = 5

        def restore(self, saved, *, rank: int) -> None:
            restored.append((saved.progress.step, rank))

    StateFolder(RunFolder(run), Second(chosen), keep=3, vocab_size=40).restore_newest(Taken())
    assert restored == [(5, 1)]


def test_settings_taken_up_after_the_state_before_are_changes_once_more(corpus, run, tmp_path):
    """The scores of that state are of the former settings, as if the later state had never been written."""
    shutil.copytree(run, tmp_path / "undisturbed")
    shutil.rmtree(tmp_path / "undisturbed" / "state" / "step-00000010")
    changed = {**OPTIONS, "validation__metric": "loss"}
    train_here(corpus, run, **changed)
    assert [(change["step"], change["key"]) for change in changes_of(run)] == [(10, "validation.metric")]
    flip(run / "state" / "step-00000010" / "average.safetensors")
    train_here(corpus, run, **changed)
    train_here(corpus, tmp_path / "undisturbed", **changed)
    assert changes_of(run) == changes_of(tmp_path / "undisturbed")
    assert [(change["step"], change["key"]) for change in changes_of(run)] == [(5, "validation.metric")]
    progress = read_state(run / "state" / "step-00000010").progress
    expected = read_state(tmp_path / "undisturbed" / "state" / "step-00000010").progress
    assert (progress.best, progress.best_step) == (expected.best, expected.best_step)


def test_damaged_older_state_is_left_out_of_the_average(corpus, run):
    flip(run / "state" / "step-00000005" / "weights.safetensors")
    (run / "result.json").unlink()
    train_here(corpus, run, **OPTIONS)
    assert "step-00000005 is damaged (weights.safetensors differs" in log_of(run)
    assert "average of" not in log_of(run)
    assert (run / "result.json").exists()


def test_copies_that_the_user_keeps_among_the_states_stay(corpus, run):
    for name in ("step-best", "step-00000005-good", "step-00000005.damaged"):
        shutil.copytree(run / "state" / "step-00000005", run / "state" / name)
    train_here(corpus, run, **OPTIONS, run__max_steps=20, run__keep=2)
    assert "continuing from step 10," in log_of(run)
    names = sorted(path.name for path in (run / "state").iterdir())
    assert [name for name in names if name not in states(run)] == [
        "step-00000005-good",
        "step-00000005.damaged",
        "step-best",
    ]
    assert "step-00000005" not in names


@pytest.mark.parametrize(
    ("key", "value", "finding"),
    [
        ("step", 5, "progress.json is of step 5"),
        ("step", -10, "progress.json is of step -10"),
        ("seconds", float("nan"), "progress.json: seconds is nan"),
        ("place", {"epoch": 0, "batches": -3}, "progress.json: batches is -3"),
        ("session", {"batch_tokens": "many"}, "progress.json: session is damaged"),
    ],
)
def test_progress_that_cannot_be_is_damage(corpus, run, key, value, finding):
    """Also in a state without checksums."""
    state = run / "state" / "step-00000010"
    (state / "checksums.json").unlink()
    write_json(state / "progress.json", read_json(state / "progress.json") | {key: value})
    with pytest.raises(DamagedError, match=finding):
        read_state(state)


def test_a_state_under_the_name_of_another_step_is_set_aside(corpus, run):
    """Otherwise the run would continue from it at each start, as its name is the newest."""
    shutil.copytree(run / "state" / "step-00000005", run / "state" / "step-00000099")
    train_here(corpus, run, **OPTIONS, run__max_steps=12)
    assert "step-00000099 is damaged (progress.json is of step 5) and set aside" in log_of(run)
    assert "continuing from step 10" in log_of(run)
