"""Runs whose settings change between two commands; errors and warnings in the log."""

import json
import logging
import re
import warnings

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from small_runs import composed, write_corpus
from stored_runs import FLAT, assert_identical, changes_of, log_of, states, train_here
from translate import train as train_page
from translate.console import start_log
from translate.errors import UserError
from translate.files import flatten, to_plain
from translate.training.changes import RULES, Change, Changes, find_changes, rule_of, with_changes
from translate.training.config import TrainConfig
from translate.training.final_evaluation import is_finished


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=200)


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
    """Give a run the files of an earlier version."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["schedule"]["max_warmup_steps"]
    config["schedule"] |= schedule
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for path in (folder / "state").glob("*/progress.json"):
        progress = json.loads(path.read_text())
        del progress["best_loss"], progress["loss"], progress["last_success"]
        path.write_text(json.dumps(progress))
        (path.parent / "checksums.json").unlink()


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
    events = EventAccumulator(str(folder)).Reload()
    rates = {event.step: event.value for event in events.Scalars("train/learning_rate")}
    assert [rates[step] for step in (8, 15)] == pytest.approx([5e-3 * 8 / 40, 5e-3 * 15 / 40])
    assert {entry["key"] for entry in changes_of(folder)} == {"run.max_steps", "schedule.decay_share"}


def test_short_runs_reach_the_learning_rate_and_long_warm_ups_are_warned_of(corpus, tmp_path):
    def highest(folder):
        events = EventAccumulator(str(folder)).Reload()
        return max(event.value for event in events.Scalars("train/learning_rate"))

    train_here(corpus, tmp_path / "default", schedule__warmup_steps=None, run__max_steps=40)
    assert highest(tmp_path / "default") >= 0.85 * 5e-3
    assert "warmup_steps" not in log_of(tmp_path / "default")
    train_here(corpus, tmp_path / "kept", schedule__warmup_steps=400, run__max_steps=20)
    assert highest(tmp_path / "kept") <= 5e-3 * 20 / 400
    assert log_of(tmp_path / "kept").count("more than half of this run of about 20 updates") == 1
    train_here(corpus, tmp_path / "epochs", schedule__warmup_steps=400, run__max_steps=0, run__max_epochs=1)
    assert log_of(tmp_path / "epochs").count("more than half of this run") == 1


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
    names = [*flatten(to_plain(TrainConfig())), "auxiliary", "logger"]
    for key in RULES:
        assert any(f"{name}.".startswith(f"{key}.") for name in names), key


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
        return Changes(config, {}, (Change("search.beam_size", before, now),))

    once = with_changes({"seed": 1}, changed(5, 1), step=5)
    entry = {"step": 5, "key": "search.beam_size", "before": 5, "now": 1}
    assert once == {"seed": 1, "changes": [entry]}
    assert with_changes(once, changed(1, 3), step=5)["changes"] == [{**entry, "now": 3}]
    assert with_changes(once, changed(1, 5), step=5)["changes"] == []
    assert [x["step"] for x in with_changes(once, changed(1, 5), step=9)["changes"]] == [5, 9]
