"""batch.tokens=auto: batches as large as memory allows, in updates of one size; on a CPU with simulated memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from event_files import curves
from forked_ranks import run_ranks
from in_process import call_here
from small_memory import SmallMemory
from small_runs import composed, options, write_corpus
from stored_runs import FLAT, changes_of, log_of, train_here
from translate.data.prepare import Prepared, prepare
from translate.distributed import World, join_world
from translate.errors import UserError
from translate.training import batch_memory, recipe, recommended, trial_updates
from translate.training.batch_memory import divide_update, has_room
from translate.training.config import TrainConfig
from translate.training.open_options import Recipe
from translate.training.recommended import Cost
from translate.training.trial_updates import TrialUpdates

OWN = ["data.train.source=a", "data.train.target=b"]
WIDTH = 128  # of the widest product of the models here: a batch of 64 tokens has 64 * 128 numbers there
LITTLE = 70 * WIDTH
AUTO = {"batch__tokens": "auto", "batch__update_tokens": 256, "batch__sentence_multiple": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=100)


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trials take this CPU for a GPU, and try small batches too."""
    begin = TrialUpdates.__init__

    def pretend(self: TrialUpdates, *arguments: Any) -> None:
        begin(self, *arguments)
        self.on_gpu = True

    monkeypatch.setattr(TrialUpdates, "__init__", pretend)
    monkeypatch.setattr(batch_memory, "_LEAST_TRIED", 8)


def stored(run: Path) -> dict[str, Any]:
    return yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["batch"]


def prepared(corpus: Path, **changes: object) -> tuple[TrainConfig, Prepared]:
    config = composed(options(corpus, corpus / "none", **changes))
    return config, prepare(config.data, config.tokenizer)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["batch.tokens=auto"], ["batch.accumulation", "batch.tokens"]),
        (["batch={tokens: auto}"], ["batch.accumulation", "batch.tokens"]),
        (["batch.tokens=auto", "batch.accumulation=3"], ["batch.tokens"]),
        (["batch.update_tokens=9000"], ["batch.accumulation", "batch.tokens"]),
        (["batch.tokens=512", "batch.update_tokens=9000"], ["batch.accumulation"]),
        (["batch.tokens=512"], []),
    ],
)
def test_auto_leaves_the_size_of_batches_open_with_any_recipe(words, expected):
    fixed = composed([*OWN, "recipe=fixed", *words])
    assert fixed.chosen == expected
    assert type(fixed.batch.tokens) is int
    auto = composed([*OWN, *words]).chosen
    assert ("batch.tokens" in auto) == ("batch.tokens=512" not in words)
    adapted = composed([*OWN, "adapt=full", "adapt.model=x", *words])
    assert adapted.chosen == [*expected, "optimizer.learning_rate"]


@pytest.mark.parametrize(("name", "tokens"), [("iwslt14_de_en", 4096), ("wmt14_en_de", 32_768), ("opus100", 32_768)])
def test_recipes_for_gpus_set_the_size_of_updates_and_leave_that_of_batches_open(name, tokens):
    config = composed([f"experiment={name}", "data.root=x"])
    assert config.batch.update_tokens == tokens
    assert config.chosen == ["batch.accumulation", "batch.tokens"]


@pytest.mark.parametrize("value", ["lots", "AUTO", "1.5", "true", "''", "null"])
def test_other_words_are_refused(value):
    with pytest.raises(UserError, match=r"batch\.tokens=.*: an integer is expected, or auto"):
        composed([*OWN, f"batch.tokens={value}"])


def test_a_wrong_word_is_an_error_of_the_command(tmp_path):
    process = call_here("train", *OWN, "batch.tokens=lots", f"run.dir={tmp_path}")
    assert process.returncode == 1
    assert process.stderr == b"error: batch.tokens=lots: an integer is expected, or auto\n"


def test_a_size_of_updates_without_effect_is_refused(corpus, tmp_path):
    words = options(corpus, tmp_path, batch__update_tokens=512, batch__accumulation=2)
    with pytest.raises(UserError, match=r"batch\.update_tokens=512 has no effect beside batch\.tokens and batch\.acc"):
        composed(words).check()
    with pytest.raises(UserError, match=r"batch\.update_tokens \(-1\) must be at least 0"):
        composed([*OWN, "batch.update_tokens=-1"]).check()


def test_help_names_the_word():
    assert b"tokens=auto: batches as large as the memory of the GPU allows" in call_here("train", "--help").stdout


def test_a_run_takes_the_largest_batch_that_fits_and_keeps_it(corpus, tmp_path, on_gpu, monkeypatch):
    with SmallMemory(LITTLE) as memory:
        train_here(corpus, tmp_path, **FLAT, **AUTO)
    assert memory.failures == 2, "one for each size that is too large, none in the run"
    assert (stored(tmp_path)["tokens"], stored(tmp_path)["accumulation"]) == (64, 4)
    chosen = "batch.tokens=64 batch.accumulation=4  (updates of 256 tokens; batches of 128 take too much of the free "
    assert f"batch.tokens=auto chooses {chosen}memory)" in log_of(tmp_path)
    # with more memory
    monkeypatch.setattr(recipe, "recommend", lambda *_: pytest.fail("chosen again"))
    with pytest.raises(UserError, match=r"batch\.update_tokens: 256 there, 1024 now .*set batch\.tokens or"):
        train_here(corpus, tmp_path, **FLAT, **AUTO | {"batch__update_tokens": 1024}, run__max_steps=12)
    train_here(corpus, tmp_path, **FLAT, **AUTO, run__max_steps=12)
    assert (stored(tmp_path)["tokens"], stored(tmp_path)["accumulation"]) == (64, 4)
    assert [change["key"] for change in changes_of(tmp_path)] == ["run.max_steps"]


def test_no_batch_is_larger_than_its_option_allows():
    config = composed([*OWN, "batch.tokens=auto", "batch.update_tokens=8589934592"])
    tried = []

    def fits(sized):
        tried.append(sized.batch.tokens)
        sized.batch.check()
        return True

    choice = divide_update(config, config.batch.update_tokens, 1, fits, cause="")
    assert tried == [2**30]
    assert choice.values == {"batch.tokens": 2**30, "batch.accumulation": 8}


def test_recipe_auto_has_the_same_choice(corpus, on_gpu, monkeypatch):
    monkeypatch.setattr(recommended, "_MIN_UPDATE_ON_GPU", 256)
    monkeypatch.setattr(TrialUpdates, "cost", lambda *_, **__: Cost(update_seconds=0.01, updates_per_epoch=10))
    config, data = prepared(corpus, recipe=None, batch__tokens=None, run__max_steps=None, run__max_epochs=1)
    with SmallMemory(LITTLE):
        found = recipe.recommend(config, data, World())
    assert found.recipe is Recipe.auto
    assert (found.batch.tokens, found.batch.accumulation) == (64, 4)


def test_accumulation_makes_the_update_of_one_whole_batch(corpus, tmp_path, on_gpu):
    """An update is an epoch here, so that it has the same pairs in batches of any size."""
    same = {**FLAT, "batch__sentence_multiple": 1, "model__dropout": 0, "run__max_steps": 5}
    train_here(corpus, tmp_path / "whole", **same, batch__tokens=2048)
    with SmallMemory(520 * WIDTH):
        train_here(corpus, tmp_path / "parts", **same, batch__tokens="auto", batch__update_tokens=2048)
    assert (stored(tmp_path / "parts")["tokens"], stored(tmp_path / "parts")["accumulation"]) == (512, 4)
    for tag in ("loss/train", "train/gradient_norm"):
        whole, parts = (curves(tmp_path / name)[tag] for name in ("whole", "parts"))
        assert len(whole) == 5
        assert parts == pytest.approx(whole, rel=1e-4)


def test_processes_share_an_update_and_the_smallest_memory_decides(corpus, on_gpu):
    config, data = prepared(corpus, **AUTO)

    def chosen(rank: int) -> TrainConfig:
        with join_world(torch.device("cpu")) as world, SmallMemory(LITTLE if rank == 1 else 1 << 40):
            return recipe.recommend(config, data, world)

    first, second = run_ranks(2, chosen)
    assert isinstance(first, TrainConfig), first
    assert first == second
    assert (first.batch.tokens, first.batch.accumulation) == (64, 2)


def test_largest_batches_are_tried_beside_gradients_of_others(corpus, on_gpu, monkeypatch):
    config, data = prepared(corpus, **AUTO)
    make, tried = trial_updates.train_step, []

    def record(model, optimizer, batches, *arguments, **options):
        tried.append(batches)
        return make(model, optimizer, batches, *arguments, **options)

    monkeypatch.setattr(trial_updates, "train_step", record)
    with SmallMemory(LITTLE):
        recipe.recommend(config, data, World())
    last = [batches for batches in tried if len(batches) == 2][-4:]
    sizes = [batches[0].shape for batches in last]
    assert len(tried[0]) == 1, "a single batch of 256 has no other beside it"
    assert max(source for _, source, _ in sizes) == -(-(data.train.source_lengths.max() + 1) // 2) * 2
    assert max(target for _, _, target in sizes) == -(-(data.train.target_lengths.max() + 1) // 2) * 2
    assert max(pairs * target for pairs, _, target in sizes) > 64 - 8


@pytest.mark.parametrize(("peak", "fits"), [(900, True), (901, False)])
def test_a_fifth_of_the_free_memory_stays_free(monkeypatch, peak, fits):
    """Of 1,000 bytes; 100 were taken before, which are not counted."""
    for name, result in {"mem_get_info": (1000, 5000), "memory_allocated": 100, "max_memory_allocated": peak}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, result=result: result)
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    assert has_room(lambda: None, torch.device("cuda", 0)) is fits


def test_a_size_without_room_does_not_fit(corpus, on_gpu, monkeypatch):
    config, data = prepared(corpus)
    for room in (True, False):
        monkeypatch.setattr(trial_updates, "has_room", lambda *_, room=room: room)
        assert TrialUpdates(config, data, World()).fits(config) is room


def test_another_error_than_of_memory_is_no_choice(corpus, on_gpu, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a bug")

    config, data = prepared(corpus, **AUTO)
    monkeypatch.setattr(trial_updates, "train_step", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        recipe.recommend(config, data, World())


def test_on_a_cpu_nothing_is_tried(corpus, monkeypatch):
    monkeypatch.setattr(TrialUpdates, "fits", lambda *_: pytest.fail("tried"))
    config, data = prepared(corpus, batch__tokens="auto", batch__update_tokens=4096)
    found = recipe.recommend(config, data, World()).batch
    assert (found.tokens, found.accumulation) == (1024, 4)
