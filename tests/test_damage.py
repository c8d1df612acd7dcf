"""Lost or damaged files of a run block nothing: each is made again from what is left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from damaged_runs import OPTIONS, contents, copy_of, cut, flip, make_original
from stored_runs import assert_identical, log_of, train_here
from translate import train as train_module
from translate.data.loader import UpdateStream
from translate.errors import UserError
from translate.model_directory import MONITORING
from translate.training.state_folder import read_state


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_original(tmp_path_factory.mktemp("damage"))


@pytest.fixture
def corpus(original: Path) -> Path:
    return original.parent / "corpus"


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    return copy_of(original, tmp_path / "run")


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
        assert f"{run / name} is made again from {copy}" in log_of(run)
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
    assert f"config.yaml is made again from {copy}" in log_of(run)
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
        flip(folder / "weights.safetensors")


@pytest.mark.parametrize("how", ["removed", "cut", "flipped"])
def test_lost_models_are_made_again_from_the_states(corpus, run, how):
    (run / "best" / MONITORING).unlink()  # of translate.monitor, which makes it where it is missing
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
    assert "no state is of step 3, the best: the model of the newest replaces it" in log_of(run)
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


def test_deleted_cache_is_made_again(corpus, original, run, tmp_path, monkeypatch):
    cache, seek = tmp_path / "cache", UpdateStream.seek

    def delete(*arguments: object) -> None:
        shutil.rmtree(cache, ignore_errors=True)
        seek(*arguments)

    monkeypatch.setattr(UpdateStream, "seek", delete)  # before the first update
    for steps in (12, 15):
        train_here(corpus, run, **OPTIONS, data__cache=cache, run__max_steps=steps)
        assert not cache.exists()
    monkeypatch.undo()
    undisturbed = copy_of(original, tmp_path / "undisturbed")
    train_here(corpus, undisturbed, **OPTIONS, run__max_steps=15)
    assert_identical(run, undisturbed)
