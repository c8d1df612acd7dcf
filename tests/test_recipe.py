"""recipe=auto in runs: when it applies, continued runs, several processes, and plan=true."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from forked_ranks import run_ranks
from in_process import call_here
from small_runs import composed, options, write_corpus
from translate.data.prepare import prepare
from translate.distributed import join_world
from translate.errors import UserError
from translate.training import recipe
from translate.training.config import TrainConfig
from translate.training.open_options import Recipe
from translate.training.plan import expected_schedule
from translate.training.recommended import Cost
from translate.training.trial_updates import TrialUpdates

OWN = ["data.train.source=a", "data.train.target=b"]
# left to the recipe by a run of these tests
OPEN = dict.fromkeys(
    ("recipe", "tokenizer__vocab_size", "batch__tokens", "optimizer__learning_rate", "validation__every")
)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (OWN, Recipe.auto),
        ([*OWN, "model=base", "batch.tokens=100"], Recipe.auto),
        (["data=multi30k", "data.root=x"], Recipe.auto),
        ([*OWN, "recipe=fixed"], Recipe.fixed),
        ([*OWN, "experiment=comparison"], Recipe.fixed),
        ([*OWN, "experiment=comparison", "recipe=auto"], Recipe.auto),
        ([*OWN, "adapt=full", "adapt.model=x"], Recipe.fixed),
    ],
)
def test_recipe_is_chosen_where_no_experiment_is(words, expected):
    config = composed(words)
    assert config.recipe is expected
    adapted = ["optimizer.learning_rate"] if "adapt=full" in words else []
    assert config.chosen == adapted if expected is Recipe.fixed else len(config.chosen) > 1


def test_fixed_recipe_has_the_settings_of_before():
    config = composed([*OWN, "recipe=fixed"])
    assert (config.model.d_model, config.batch.tokens, config.tokenizer.vocab_size) == (256, 2048, 8000)
    assert (config.optimizer.learning_rate, config.optimizer.weight_decay) == (2e-3, 0.01)
    assert (config.run.max_steps, config.run.patience, config.validation.every) == (10_000, 10, 500)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("recipe") / "corpus")


@pytest.fixture
def fast_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrialUpdates, "cost", lambda *_, **__: Cost(update_seconds=0.01, updates_per_epoch=10))


def stored(run: Path) -> dict:
    return yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))


def test_a_run_begins_with_what_fits_and_never_chooses_again(corpus, tmp_path, monkeypatch):
    run = tmp_path / "run"
    words = options(corpus, run, run__max_steps=8, **OPEN)
    first = call_here("train", *words)
    assert first.returncode == 0, first.stderr.decode()
    log = (run / "train.log").read_text(encoding="utf-8")
    assert re.search(r"tokenizer.vocab_size=2000  \(\d+ pairs\)", log)
    assert re.search(r"batch.tokens=1024 batch.accumulation=1  \(updates of 1,024 tokens\)", log)
    assert re.search(r"optimizer.learning_rate=0.003 .*\(width 32, about .*\)", log)
    before = stored(run)
    assert before["recipe"] == "auto"
    assert (before["batch"]["tokens"], before["run"]["max_steps"]) == (1024, 8)
    assert "batch.tokens" in before["chosen"]
    assert "run.max_steps" not in before["chosen"]
    assert before["validation"]["every"] == before["run"]["save_every"] or "run.save_every" not in before["chosen"]
    # the device is faster now, and another size would be chosen for the same text
    monkeypatch.setattr(recipe, "recommend", lambda *_: pytest.fail("chosen again"))
    monkeypatch.setattr("translate.training.recommended.TEXT_DEFAULTS", ())
    again = call_here("train", *options(corpus, run, run__max_steps=10, **OPEN))
    assert again.returncode == 0, again.stderr.decode()
    after = stored(run)
    assert after["run"]["max_steps"] == 10
    assert {key: after[key] for key in ("tokenizer", "model", "batch", "optimizer", "validation")} == {
        key: before[key] for key in ("tokenizer", "model", "batch", "optimizer", "validation")
    }


def test_bounds_that_are_left_out_stay_as_the_run_has_them(corpus, tmp_path):
    run = tmp_path / "run"
    assert call_here("train", *options(corpus, run, run__max_steps=4, recipe=None)).returncode == 0
    again = call_here("train", *options(corpus, run, run__max_steps=None, recipe=None))
    assert again.returncode == 0
    assert stored(run)["run"]["max_steps"] == 4


def test_processes_have_equal_settings(corpus):
    def settings(rank: int) -> TrainConfig:
        config = composed(options(corpus, corpus / "none", model__dropout=None, **OPEN))
        data = prepare(config.data, recipe.choose_tokenizer(config))
        with join_world(torch.device("cpu")) as world:
            return recipe.recommend(config, data, world)

    data = composed(options(corpus, corpus / "none", **OPEN))
    prepare(data.data, recipe.choose_tokenizer(data))  # both then find it in the cache
    first, second = run_ranks(2, settings)
    assert isinstance(first, TrainConfig), first
    assert first == second
    assert first.batch.tokens == 512, "an update of two processes is as large as that of one"


def test_plan_trains_and_claims_nothing(corpus, tmp_path, fast_trials):
    run = tmp_path / "run"
    planned = call_here("train", *options(corpus, run, run__max_steps=30, plan="true", **OPEN))
    assert planned.returncode == 0, planned.stderr.decode()
    assert not run.exists()
    shown = (planned.stdout + planned.stderr).decode()
    assert re.search(r"pairs: \d+ to train on, 30 to validate, 20 to test", shown)
    assert re.search(r"pairs read +600 +100\.0%", shown)
    assert "updates: 30 (3 epochs), 0.01 s each" in shown
    assert re.search(r"memory: about \d+\.\d\d GiB", shown)
    assert "time: about 00:00" in shown


def test_thousands_of_epochs_are_written_in_full(corpus, tmp_path, fast_trials):
    planned = call_here("train", *options(corpus, tmp_path / "run", run__max_steps=16_660, plan="true", **OPEN))
    shown = (planned.stdout + planned.stderr).decode()
    assert "(about 16,660 updates, 1,666 epochs)" in shown
    assert "updates: 16,660 (1,666 epochs), 0.01 s each" in shown


def test_the_reason_for_the_vocabulary_counts_pairs_without_their_weights(corpus, tmp_path, fast_trials):
    words = options(corpus, tmp_path / "run", plan="true", data__train__weight=0.1, **OPEN)
    planned = call_here("train", *words)
    shown = (planned.stdout + planned.stderr).decode()
    kept = re.search(r"kept +(\d+)", shown)
    assert kept, shown
    assert f"tokenizer.vocab_size=2000  ({kept[1]} pairs)" in shown
    assert f"pairs: {kept[1]} to train on" in shown


def test_prepare_learns_the_vocabulary_of_a_training_without_settings(corpus, tmp_path):
    """Also of text with too many characters for the size that is usual with recipe=fixed."""
    characters = [chr(0x4E00 + number) for number in range(9_000)]
    for name, step in (("source", 1), ("target", 7)):
        shuffled = [characters[step * number % 9_000] for number in range(9_000)]
        lines = ["".join(shuffled[start : start + 20]) for start in range(0, 9_000, 20)]
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    text = [f"data.train.source={tmp_path}/source", f"data.train.target={tmp_path}/target"]
    for given in ([], ["tokenizer=bpe"]):
        prepared = call_here("prepare", *text, *given, f"data.cache={tmp_path}/cache")
        assert prepared.returncode == 0, prepared.stderr.decode()
        assert re.search(rb"tokenizer.vocab_size=\d+ is chosen as by a training with recipe=auto", prepared.stderr)
    tokenizers = set(tmp_path.glob("cache/tokenizer-*"))
    config = composed([*text, f"data.cache={tmp_path}/cache"])
    prepare(config.data, recipe.choose_tokenizer(config))
    assert set(tmp_path.glob("cache/tokenizer-*")) == tokenizers
    own = call_here("prepare", *text, "tokenizer.vocab_size=8000", f"data.cache={tmp_path}/cache")
    assert b"tokenizer.vocab_size is 8000, but the text's characters alone need" in own.stderr


def test_plan_of_a_begun_run_has_its_settings(corpus, tmp_path):
    run = tmp_path / "run"
    assert call_here("train", *options(corpus, run, run__max_steps=4, recipe=None)).returncode == 0
    files = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    planned = call_here("train", *options(corpus, run, run__max_steps=None, recipe=None, plan="true"))
    assert planned.returncode == 0, planned.stderr.decode()
    assert "updates: 4 (" in (planned.stdout + planned.stderr).decode()
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == files


def test_time_counts_validations_and_ends_at_the_first_bound():
    cost = Cost(update_seconds=0.5, updates_per_epoch=100, validation_seconds=10.0)
    config = composed([*OWN, "recipe=fixed", "run.max_steps=1000", "validation.every=100", "averaging.last=0"])
    schedule = expected_schedule(config, cost, test_seconds=7.0)
    assert (schedule.updates, schedule.validations, schedule.seconds) == (1000, 10, 500 + 100 + 7)
    timed = replace(config, run=replace(config.run, max_minutes=1.0))
    assert expected_schedule(timed, cost, test_seconds=0.0).updates == 100


def test_model_options_without_effect_beside_a_base_are_refused(corpus, tmp_path):
    run = tmp_path / "run"
    assert call_here("train", *options(corpus, run, run__max_steps=4)).returncode == 0
    adapted = {"run__max_steps": 2, "adapt": "full", "adapt__model": run}
    words = options(corpus, tmp_path / "adapted", **adapted)
    assert call_here("train", *words).returncode == 0  # the sizes of the base
    refused = call_here("train", *options(corpus, tmp_path / "other", model__d_model=64, **adapted))
    assert refused.returncode == 1
    assert b"model.d_model=64 has no effect beside adapt=full" in refused.stderr
    assert not (tmp_path / "other").exists()
    dropout = call_here("train", *options(corpus, tmp_path / "other", model__dropout=0.4, **adapted))
    assert b"set adapt.dropout instead" in dropout.stderr


def test_vocabulary_options_without_effect_are_named(corpus, tmp_path):
    run = tmp_path / "run"
    assert call_here("train", *options(corpus, run, run__max_steps=4)).returncode == 0
    adapted = {"run__max_steps": 2, "adapt": "full", "adapt__model": run, "plan": "true"}
    same = call_here("train", *options(corpus, tmp_path / "adapted", **adapted))
    assert b"tokenizer.vocab_size" not in same.stderr
    other = call_here("train", *options(corpus, tmp_path / "adapted", tokenizer__vocab_size=500, **adapted))
    assert b"tokenizer.vocab_size=500 has no effect beside adapt=full: the vocabulary is that of" in other.stderr
    for command in ("train", "prepare"):
        shared = ("data", "tokenizer") if command == "prepare" else ("data", "tokenizer", "run.dir")
        words = [word for word in options(corpus, tmp_path / "new") if word.startswith(shared)]
        refused = call_here(command, *words, "tokenizer.source_vocab_size=30")
        assert refused.returncode == 1
        assert b"tokenizer.source_vocab_size=30 has no effect without tokenizer=separate" in refused.stderr


def test_a_recipe_for_new_models_is_refused_beside_a_base(corpus, tmp_path):
    words = options(
        corpus, tmp_path / "run", recipe="auto", adapt="lora", adapt__model=tmp_path, tokenizer__vocab_size=None
    )
    with pytest.raises(UserError, match="recipe=auto is for new models: leave it out beside adapt=lora"):
        composed(words).check()


def test_a_plan_is_of_one_run(corpus, tmp_path):
    process = call_here("train", *options(corpus, tmp_path / "sweep", plan="true", run__seed="1,2"), "--multirun")
    assert process.returncode == 1
    assert b"plan=true is of one run: leave --multirun out" in process.stderr
