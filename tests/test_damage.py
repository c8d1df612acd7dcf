"""Damaged files of a run: named, set aside or made again; the run continues as if they had never been written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from small_runs import write_corpus
from stored_runs import FLAT, assert_identical, log_of, states, train_here
from translate import train as train_module
from translate.distributed import World
from translate.errors import UserError
from translate.training import state_folder
from translate.training.run_folder import RunFolder
from translate.training.state_folder import StateFolder, read_state

FILES = ("weights.safetensors", "average.safetensors", "training.pt", "progress.json", "config.yaml", "manifest.json")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("damage") / "corpus", pairs=200)


@pytest.fixture(scope="module")
def original(corpus: Path) -> Path:
    """A run of 10 updates, with states of 5 and 10, a running average and the last two checkpoints averaged."""
    train_here(corpus, corpus.parent / "run", **OPTIONS)
    return corpus.parent / "run"


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "run")
    (tmp_path / "run" / "train.log").unlink()
    return tmp_path / "run"


OPTIONS = {**FLAT, "averaging__last": 2, "averaging__ema_decay": 0.9}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def cut(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:1000])


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"")


def swap(folder: Path) -> None:
    """With the same file of the state before, which has the same size."""
    for name in ("weights.safetensors", "average.safetensors"):
        (folder / name).write_bytes((folder.with_name("step-00000005") / name).read_bytes())


def flip(folder: Path) -> None:
    path = folder / "average.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def remove(folder: Path) -> None:
    (folder / "training.pt").unlink()


def test_damaged_newest_state_is_set_aside_and_the_one_before_continues(corpus, original, run):
    """A later one does not collide with the first, and all of them stay."""
    newest = run / "state" / "step-00000010"
    aside = []
    damages = {
        cut: "has 1,000 bytes instead of",
        empty: "checksums.json is damaged",
        swap: "average.safetensors differs from what was written (SHA-256)",
        flip: "average.safetensors differs from what was written (SHA-256)",
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


def test_run_without_a_readable_state_ends_with_one_line_and_keeps_them(corpus, run):
    for state in states(run):
        flip(run / "state" / state)
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
    monkeypatch.setattr(state_folder, "verify", lambda folder: pytest.fail(f"{folder} was verified"))
    restored = []

    class Taken:
        step = 5

        def restore(self, saved, *, rank: int) -> None:
            restored.append((saved.progress.step, rank))

    StateFolder(RunFolder(run), Second(chosen), keep=3, vocab_size=40).restore_newest(Taken())
    assert restored == [(5, 1)]


def test_damaged_older_state_is_left_out_of_the_average(corpus, run):
    flip_weights = run / "state" / "step-00000005" / "weights.safetensors"
    flip_weights.write_bytes(flip_weights.read_bytes()[:-1] + b"\x7f")
    (run / "result.json").unlink()
    train_here(corpus, run, **OPTIONS)
    assert "step-00000005 is damaged (weights.safetensors differs" in log_of(run)
    assert "average of" not in log_of(run)
    assert (run / "result.json").exists()


@pytest.mark.parametrize("damage", ["cut", "emptied", "removed"])
def test_files_of_a_run_that_a_power_failure_took_block_nothing(corpus, original, run, damage):
    names = ("config.yaml", "manifest.json", "result.json", "train.log", "tokenizer.model")
    (run / "train.log").write_text("2026-01-01 00:00:00 a line\n")
    before = {name: (run / name).read_bytes() for name in names}
    for name, content in before.items():
        if damage == "removed":
            (run / name).unlink()
        else:
            (run / name).write_bytes(content[:10] if damage == "cut" else b"")
    train_here(corpus, run, **OPTIONS)
    for name in ("config.yaml", "manifest.json"):
        copy = run / "state" / "step-00000010" / name
        assert f"{run / name} was missing or damaged: it is made again from {copy}" in log_of(run)
    assert "test BLEU" in log_of(run)  # no result is no evaluation
    for name in ("config.yaml", "manifest.json", "tokenizer.model"):
        assert (run / name).read_bytes() == before[name]
    assert json.loads((run / "result.json").read_text())["step"] == 10
    assert_identical(run, original)


def test_a_copy_counts_only_where_it_is_what_was_written(corpus, run):
    newest = run / "state" / "step-00000010"
    text = (newest / "config.yaml").read_text()
    (newest / "config.yaml").write_text(text.replace("seed: ", "seed: 1"))
    (run / "config.yaml").write_text("")
    train_here(corpus, run, **OPTIONS)
    copy = run / "state" / "step-00000005" / "config.yaml"
    assert f"config.yaml was missing or damaged: it is made again from {copy}" in log_of(run)
    assert (run / "config.yaml").read_text() == text


def test_manifest_of_an_earlier_version_is_made_again_from_a_model(corpus, run):
    """Whose states have no copies; a lost configuration ends the run with one line there."""
    before = json.loads((run / "manifest.json").read_text())
    for path in (run / "state").glob("*/*"):
        if path.name in ("config.yaml", "manifest.json", "checksums.json"):
            path.unlink()
    (run / "manifest.json").write_text("")
    train_here(corpus, run, **OPTIONS)
    assert json.loads((run / "manifest.json").read_text()) == before
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"config\.yaml is missing or damaged, and no state has a copy; bring it back"):
        train_here(corpus, run, **OPTIONS)


def damage_model(folder: Path, how: str) -> None:
    if how == "removed":
        shutil.rmtree(folder)
    elif how == "cut":
        cut(folder)
    else:
        path = folder / "weights.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")


@pytest.mark.parametrize("how", ["removed", "cut", "flipped"])
def test_lost_models_are_made_again_from_the_states(corpus, run, how):
    models = {name: contents(run / name) for name in ("best", "last")}
    result = (run / "result.json").read_bytes()
    for name in models:
        damage_model(run / name, how)
    train_here(corpus, run, **OPTIONS)
    for name, before in models.items():
        assert f"{run / name}: " in log_of(run)
        assert contents(run / name) == before
    assert (run / "result.json").read_bytes() == result
    assert "this run is over" in log_of(run)


def set_best_step(run: Path, step: int) -> None:
    for path in (run / "state").glob("*/progress.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"best_step": step}))
        (path.parent / "checksums.json").unlink()


def test_lost_best_model_without_its_state_is_replaced_by_the_newest(corpus, run):
    expected = contents(run / "last")["weights.safetensors"]
    set_best_step(run, 3)
    shutil.rmtree(run / "best")
    train_here(corpus, run, **OPTIONS)
    assert "no state is of step 3, the best: the model of the newest takes its place" in log_of(run)
    assert contents(run / "best")["weights.safetensors"] == expected
    assert json.loads((run / "best" / "manifest.json").read_text())["step"] == 10
    assert json.loads((run / "result.json").read_text())["best_step"] == 10  # evaluated again
    assert read_state(run / "state" / "step-00000010").progress.best_step == 10


def test_average_that_was_the_best_model_is_so_again(corpus, run, tmp_path):
    train_here(corpus, tmp_path / "better", **OPTIONS, run__max_steps=40, run__save_every=40, validation__every=40)
    shutil.rmtree(run / "average")
    shutil.copytree(tmp_path / "better" / "best", run / "average")
    path = run / "average" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"step": 10, "averaged": ["step-00000005"]}))
    (run / "average" / "checksums.json").unlink()
    shutil.rmtree(run / "best")
    (run / "result.json").unlink()
    train_here(corpus, run, **OPTIONS)
    expected, found = contents(run / "average"), contents(run / "best")
    assert found["weights.safetensors"] == contents(tmp_path / "better" / "best")["weights.safetensors"]
    assert json.loads(found["manifest.json"])["averaged"] == ["step-00000005"]
    assert (
        expected["weights.safetensors"] != found["weights.safetensors"]
    )  # it was made anew, of the states of this run


def test_lost_adapter_is_made_again(corpus, original, tmp_path):
    lora = {**OPTIONS, "adapt": "lora", "adapt.model": original, "run__max_steps": 5, "averaging__last": 0}
    run = tmp_path / "adapted"
    train_here(corpus, run, **lora)
    before = contents(run / "best")
    (run / "best" / "adapter.yaml").write_text("")
    train_here(corpus, run, **lora)
    assert f"{run / 'best'}: adapter.yaml has 0 bytes instead of" in log_of(run)
    assert contents(run / "best") == before


def test_best_model_lost_during_the_run_is_made_again_at_its_end(corpus, original, run, monkeypatch):
    shutil.rmtree(run / "state" / "step-00000010")
    (run / "result.json").unlink()
    over = train_module.require_best

    def lose(*arguments: object) -> None:
        shutil.rmtree(run / "best")
        over(*arguments)

    monkeypatch.setattr(train_module, "require_best", lose)
    train_here(corpus, run, **OPTIONS)
    assert contents(run / "best") == contents(original / "best")


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


def test_deleted_cache_is_made_again(corpus, original, run, tmp_path):
    cache = tmp_path / "cache"
    for steps in (10, 15):
        train_here(corpus, run, **OPTIONS, data__cache=cache, run__max_steps=steps)
        shutil.rmtree(cache)
    train_here(corpus, original, **OPTIONS, run__max_steps=15)
    assert_identical(run, original)
