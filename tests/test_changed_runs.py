"""Runs that diverge, and runs whose settings change on the way."""

import json
import logging
import math
import pickle
import re
import warnings
from dataclasses import replace

import pytest
import safetensors.torch
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from small_runs import composed, options, write_corpus
from translate import train as train_page
from translate.config.sweep import run_trial
from translate.console import start_log
from translate.distributed import World
from translate.errors import DivergedError, UserError
from translate.files import flatten, to_plain
from translate.text import read_lines
from translate.train import train
from translate.training.changes import RULES, Change, Changes, find_changes, rule_of, with_changes
from translate.training.config import TrainConfig, is_better
from translate.training.final_evaluation import is_finished
from translate.training.run_folder import RunFolder
from translate.training.state import RunProgress, StateFolder
from translate.training.stopping import Trial, discard_diverged, read_trials
from translate.training.validation import Validator

SHORT = {"run__max_steps": 10, "run__save_every": 5, "validation__every": 5, "run__log_every": 1}
# what follows does not depend on where the run ends
FLAT = {"schedule__name": "inverse_sqrt", "schedule__warmup_steps": 4}
NAN, INF = math.nan, math.inf
VALIDATE, TRAIN_STEP = Validator.run, train_page.train_step
BLOWN_UP = {"optimizer__learning_rate": 1e30, "optimizer__clip_norm": 0, "schedule__warmup_steps": 0}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=200)


def train_here(corpus, folder, **changes):
    settings = {"validation__attention_maps": 0, "averaging__last": 0, **SHORT, **changes}
    return train(composed(options(corpus, folder, **settings)))


def log_of(folder):
    return "\n".join(read_lines(folder / "train.log"))


def states(folder):
    return sorted(path.name for path in (folder / "state").glob("*"))


def changes_of(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("changes", [])


def last_weights(folder):
    newest = sorted((folder / "state").glob("step-*"))[-1]
    return safetensors.torch.load_file(newest / "weights.safetensors")


def assert_identical(one, other):
    ours, theirs = last_weights(one), last_weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


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
        folder.joinpath("train.log").unlink()
        train_here(corpus, folder)
        assert "step-00000010 is damaged and skipped: " in log_of(folder), name
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
        return replace(pending, gradient_norm=torch.tensor(INF), loss_scale=torch.tensor(scale))

    monkeypatch.setattr(train_page, "train_step", fail_at_step_5)
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


def test_settings_without_effect_on_weights_may_change_and_best_is_scored_again(corpus, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    # 40 updates teach which digits there are: their number alone makes another score
    settings = {**FLAT, "validation__metric": "chrf", "search__min_length": 12}
    train_here(corpus, whole, **settings, run__max_steps=50)
    before = train_here(corpus, parts, **settings, run__max_steps=40)
    settings |= {"run__max_steps": 50, "validation__every": 3, "search__min_length": 2, "run__save_every": 10}
    train_here(corpus, parts, **settings)
    assert_identical(parts, whole)
    assert {entry["key"]: (entry["step"], entry["before"], entry["now"]) for entry in changes_of(parts)} == {
        "validation.every": (40, 5, 3),
        "search.min_length": (40, 12, 2),
        "run.save_every": (40, 5, 10),
        "run.max_steps": (40, 40, 50),
    }
    log = log_of(parts)
    assert "from step 40 on, validation.every: 5 before, 3 now" in log
    [again] = [line for line in log.split("\n") if "scored again" in line]
    assert abs(float(re.search(r"chrF2 ([\d.]+)", again)[1]) - before) > 0.1
    manifest = json.loads((parts / "last" / "manifest.json").read_text())
    assert manifest["changes"] == changes_of(parts)
    train_here(corpus, parts, **settings)
    assert len(changes_of(parts)) == 4


def test_final_score_is_recomputed_when_the_search_changes(corpus, tmp_path):
    train_here(corpus, tmp_path / "run")
    before = json.loads((tmp_path / "run" / "result.json").read_text())
    train_here(corpus, tmp_path / "run", search__max_length=1)
    manifest = json.loads((tmp_path / "run" / "best" / "manifest.json").read_text())
    assert (manifest["search"]["max_length"], manifest["step"]) == (1, before["best_step"])
    after = json.loads((tmp_path / "run" / "result.json").read_text())
    assert before["step"] == after["step"]
    assert (tmp_path / "run" / "evaluation" / "hypotheses.txt").read_text().split("\n")[0].count(" ") == 0
    assert "this run is over" not in log_of(tmp_path / "run")


def test_changed_batches_start_a_new_epoch(corpus, tmp_path):
    train_here(corpus, tmp_path / "run")
    train_here(corpus, tmp_path / "run", run__max_steps=12, batch__tokens=128)
    assert "batches have changed: epoch" in log_of(tmp_path / "run")
    assert states(tmp_path / "run")[-1] == "step-00000012"


def test_extended_run_warns_that_its_schedule_is_stretched(corpus, tmp_path):
    train_here(corpus, tmp_path / "run")
    train_here(corpus, tmp_path / "run", run__max_steps=30)
    log = log_of(tmp_path / "run")
    assert "from step 10 on, run.max_steps: 10 before, 30 now" in log
    assert "stretched to the new length of the run: 33% of it is done (100% by the previous bounds)" in log
    # 5e-3, of which warm-up gave a half at step 10 and gives 11 / 20 at the next; a tenth and two thirds are left
    assert "learning rate: 0.00025 at step 10, 0.0018 from here on" in log


def test_state_saved_again_keeps_the_learning_rate_of_the_last_update(corpus, tmp_path):
    train_here(corpus, tmp_path / "run")
    train_here(corpus, tmp_path / "run", validation__metric="loss")  # the best is scored again, and the state saved
    train_here(corpus, tmp_path / "run", validation__metric="loss", run__max_steps=30)
    assert "learning rate: 0.00025 at step 10, 0.0018 from here on" in log_of(tmp_path / "run")


def test_fixed_settings_are_refused_with_reason_and_alternative(corpus, tmp_path):
    folder = tmp_path / "run"
    train_here(corpus, folder)
    for changes, reason, way in (
        ({"model__d_model": 16}, "model.d_model: 32 there, 16 now (the model was built with it)", None),
        ({"run__seed": 2}, "run.seed: 1 there, 2 now", f"adapt=full adapt.model={folder}"),
        ({"model__dropout": 0.3}, "model.dropout: 0.1 there, 0.3 now", "adapt.dropout=0.3"),
        ({"optimizer__name": "muon"}, "optimizer.name: 'adamw' there", f"adapt=full adapt.model={folder}"),
    ):
        with pytest.raises(UserError) as error:
            train_here(corpus, folder, **changes)
        message = str(error.value)
        assert reason in message
        assert "choose another run.dir" in message
        assert "delete" not in message
        assert ("adapt=full" in message) is (way is not None)
        assert way is None or way in message
        assert f"error: {message}" in log_of(folder)


def test_alternative_named_by_the_refusal_works(corpus, tmp_path):
    train_here(corpus, tmp_path / "run")
    model = dict.fromkeys(("d_model", "ffn_dim", "num_heads", "encoder_layers", "decoder_layers"))
    settings = {f"model__{name}": None for name in model}
    way = {"adapt": "full", "adapt__model": tmp_path / "run", "adapt__dropout": 0.3, "run__seed": 2}
    train_here(corpus, tmp_path / "more", **settings, **way)
    assert "model.dropout" not in log_of(tmp_path / "more")


def make_older(folder, **schedule):
    """What a run's files were before this version."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["schedule"]["max_warmup_steps"]
    config["schedule"] |= schedule
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for path in (folder / "state").glob("*/progress.json"):
        progress = json.loads(path.read_text())
        del progress["best_loss"], progress["loss"], progress["last_success"]
        path.write_text(json.dumps(progress))


def test_run_of_an_older_version_keeps_the_warm_up(corpus, tmp_path):
    """Which was as long as was configured: automatic warm-up would be over at step 4."""
    folder = tmp_path / "run"
    train_here(corpus, folder, run__max_steps=5)
    make_older(folder, warmup_steps=40)
    for steps in (10, 15):
        train_here(corpus, folder, run__max_steps=steps, schedule__warmup_steps=None, schedule__decay_share=0.0)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["schedule"]["warmup_steps"] == 40
        assert "max_warmup_steps" not in config["schedule"]
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    rates = {event.step: event.value for event in events.Scalars("train/learning_rate")}
    assert [rates[step] for step in (8, 15)] == pytest.approx([5e-3 * 8 / 40, 5e-3 * 15 / 40])
    assert {entry["key"] for entry in changes_of(folder)} == {"run.max_steps", "schedule.decay_share"}


def test_short_runs_reach_the_learning_rate_and_long_warm_ups_are_warned_of(corpus, tmp_path):
    def highest(folder):
        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        return max(event.value for event in events.Scalars("train/learning_rate"))

    train_here(corpus, tmp_path / "default", schedule__warmup_steps=None, run__max_steps=40)
    assert highest(tmp_path / "default") >= 0.85 * 5e-3
    assert "warmup_steps" not in log_of(tmp_path / "default")
    train_here(corpus, tmp_path / "kept", schedule__warmup_steps=400, run__max_steps=20)
    assert highest(tmp_path / "kept") <= 5e-3 * 20 / 400
    assert log_of(tmp_path / "kept").count("more than half of this run of about 20 updates") == 1
    train_here(corpus, tmp_path / "epochs", schedule__warmup_steps=400, run__max_steps=0, run__max_epochs=1)
    assert log_of(tmp_path / "epochs").count("more than half of this run") == 1


def canned(monkeypatch, losses, bleu=0.0):
    """Validations with these losses and this BLEU, in order."""
    left = list(losses)

    def run(self, weights=None, **settings):
        validation = VALIDATE(self, weights, **settings)
        for score in validation.evaluation.scores.values():
            object.__setattr__(score, "value", bleu)
        object.__setattr__(validation, "loss", left.pop(0))
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
    settings = {**SHORT, "averaging__last": 2, "validation__metric": "loss", "validation__attention_maps": 0}
    config = composed(options(corpus, trial.folder, **settings))
    canned(monkeypatch, [3.0, 2.9, 1.5])
    assert run_trial(config, trial, train) == 1.5
    manifest = json.loads((trial.folder / "best" / "manifest.json").read_text())
    assert manifest["averaged"] == ["step-00000005", "step-00000010"]
    assert json.loads((trial.folder / "result.json").read_text())["validation"]["value"] == 1.5
    events = EventAccumulator(str(trial.folder / "tensorboard")).Reload()
    assert [event.value for event in events.Scalars("result/valid_loss")] == [1.5]
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


def test_results_of_an_older_version_are_recomputed(tmp_path):
    path = tmp_path / "result.json"
    assert not is_finished(path, step=10)
    path.write_text('{"step": 10, "summary": "x"}')
    assert not is_finished(path, step=10)
    path.write_text('{"step": 10, "summary": "x", "validation": {}}')
    assert is_finished(path, step=10)
    assert not is_finished(path, step=11)


def test_every_error_is_in_the_log(corpus, tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(train_page, "validate", fail)
    with pytest.raises(ZeroDivisionError):
        train_here(corpus, tmp_path / "run")
    log = log_of(tmp_path / "run")
    assert "Traceback (most recent call last)" in log
    assert "ZeroDivisionError: a bug" in log
    with pytest.raises(UserError, match="beam_size"):
        train_here(corpus, tmp_path / "run", search__beam_size=0)
    assert "error: search.beam_size (0) must be at least 1" in log_of(tmp_path / "run")


def test_refused_foreign_folder_is_unchanged(corpus, tmp_path):
    for name in ("train.log", "config.yaml", "thesis.txt"):
        (tmp_path / name).write_text("mine\n")
    with pytest.raises(UserError, match="not a run's"):
        train_here(corpus, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("train.log", "config.yaml", "thesis.txt"), "mine\n"
    )


def test_a_librarys_warning_is_logged_once(tmp_path, capfd):
    logging.captureWarnings(False)  # pytest has undone it, unknown to logging
    start_log(path=tmp_path / "train.log")
    try:
        for _ in range(50):
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.warn("weight out of range", UserWarning, stacklevel=1)
    finally:
        logging.captureWarnings(False)
    assert (tmp_path / "train.log").read_text().count("weight out of range") == 1
    assert capfd.readouterr().err.count("weight out of range") == 1


def test_every_setting_has_a_rule():
    for key in flatten(to_plain(TrainConfig())):
        assert rule_of(key).refused != "it is not known to be harmless", key
    for key in RULES:
        assert any(f"{name}.".startswith(f"{key}.") for name in [*flatten(to_plain(TrainConfig())), "auxiliary"]), key


def test_setting_unknown_to_an_older_run_is_compared_only_when_set(tmp_path):
    before = to_plain(TrainConfig())
    del before["search"]["min_length"], before["model"]["max_length"]
    assert not find_changes(TrainConfig(), before, folder=tmp_path)
    config = TrainConfig()
    config.search.min_length = 3
    [change] = find_changes(config, before, folder=tmp_path).changes
    assert (change.key, change.before, change.now) == ("search.min_length", 0, 3)
    config.model.max_length = 20
    with pytest.raises(UserError, match=r"model\.max_length"):
        find_changes(config, before, folder=tmp_path)


def test_auxiliary_losses_may_be_added_and_removed(tmp_path):
    losses = composed(["auxiliary=[r_drop]", "data=text_files"]).auxiliary
    config = TrainConfig()
    before = to_plain(config)
    config.auxiliary = losses
    [change] = find_changes(config, before, folder=tmp_path).changes
    assert (change.key, change.now) == ("auxiliary", ["r_drop"])


def test_reverted_changes_at_one_step_are_not_recorded():
    config = TrainConfig()

    def changed(before, now):
        return Changes(config.schedule, {}, (Change("search.beam_size", before, now),))

    once = with_changes({"seed": 1}, changed(5, 1), step=5)
    entry = {"step": 5, "key": "search.beam_size", "before": 5, "now": 1}
    assert once == {"seed": 1, "changes": [entry]}
    assert with_changes(once, changed(1, 3), step=5)["changes"] == [{**entry, "now": 3}]
    assert with_changes(once, changed(1, 5), step=5)["changes"] == []
    assert [x["step"] for x in with_changes(once, changed(1, 5), step=9)["changes"]] == [5, 9]
