"""Loggers: the calls to the libraries of others, and what happens where a library or its server fails."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from small_runs import composed, options, write_corpus
from stored_runs import log_of
from translate.errors import UserError
from translate.train import train
from translate.training import loggers
from translate.training.loggers import LOGGERS
from translate.training.loggers.combined import CombinedLogger
from translate.training.loggers.logger import LoggerConfig, LoggerError, RunDescription, Status
from translate.training.loggers.servers import run_id, store_id, stored_ids

PICTURE = np.zeros((4, 6, 3), np.uint8)
SETTINGS = {"model.dropout": 0.3, "model.architecture": "lstm", "run.seed": 1}


def description(folder: Path, *, step: int = 0) -> RunDescription:
    folder.mkdir(exist_ok=True)
    return RunDescription(name="mine", group="", folder=folder, settings=SETTINGS, step=step, scores=["bleu"])


def log_all(logger: Any) -> None:
    """Use every method once."""
    logger.scalars({"loss/train": 1.5, "valid_bleu_by_length/0–10": 2.0}, 10)
    logger.text("valid_translations", "| a |\n|---|\n| **b** |", 10)
    logger.picture("valid_cross_attention/1", PICTURE, 10)
    logger.rewind(5)
    logger.results({"test bleu": 12.5, "status": "good"})
    logger.flush()
    logger.close(Status.finished)


class Failing:
    """A logger whose server is down from the second call on, and up again at the end."""

    def __init__(self, config: LoggerConfig, run: RunDescription):
        self.steps: list[int] = []

    def scalars(self, values: dict[str, float], step: int) -> None:
        if 1 < step < 4:
            raise LoggerError("connection refused")
        self.steps.append(step)


def test_a_failing_logger_is_warned_of_once_and_left_alone(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("translate"), "propagate", True)
    monkeypatch.setitem(LOGGERS, "failing", (LoggerConfig, Failing))

    def refused(config: LoggerConfig, run: RunDescription) -> None:
        raise LoggerError("no such server")

    monkeypatch.setitem(LOGGERS, "refused", (LoggerConfig, refused))
    combined = CombinedLogger({"failing": LoggerConfig(), "refused": LoggerConfig()}, description(tmp_path / "run"))
    for step in (1, 2, 3, 4):
        combined.scalars({"loss/train": 1.0}, step)
    assert combined._loggers["failing"].steps == [1, 4]  # type: ignore[attr-defined]
    assert [record.message for record in caplog.records] == [
        "logger=refused: no such server; this session is not logged there",
        "logger=failing: connection refused; training continues without it",
    ]


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_missing_package_is_named_before_training(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    config = composed([*options(tmp_path, tmp_path / "run"), f"logger=[tensorboard,{name}]"])
    assert list(config.logger) == ["tensorboard", name]
    with pytest.raises(UserError, match=rf"logger=\[{name}\] needs an extra package .*\[{name}\]"):
        config.check()


def test_tensorboard_is_the_default_and_can_be_left_out(tmp_path):
    assert list(composed(options(tmp_path, tmp_path)).logger) == ["tensorboard"]
    assert composed([*options(tmp_path, tmp_path), "logger=[]"]).logger == {}


def test_a_run_without_loggers_writes_no_events(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", pairs=200)
    changes = {"run__max_steps": 5, "validation__every": 5, "run__save_every": 5, "averaging__last": 0}
    assert train(composed([*options(corpus, tmp_path / "run", **changes), "logger=[]"])) is not None
    assert not list((tmp_path / "run").rglob("*tfevents*"))
    assert "BLEU = " in log_of(tmp_path / "run")


def test_identifiers_are_kept_and_a_damaged_file_is_none(tmp_path):
    first = run_id(tmp_path, "wandb")
    assert store_id(tmp_path, "mlflow", "abc") == run_id(tmp_path, "mlflow") == "abc"
    assert run_id(tmp_path, "wandb") == first
    assert stored_ids(tmp_path) == {"wandb": first, "mlflow": "abc"}
    (tmp_path / "loggers.json").write_text("{")
    assert stored_ids(tmp_path) == {}


class FakeWandb(ModuleType):
    """Notes the calls that it gets; refuses to go online."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.calls: list[tuple[str, Any]] = []
        self.errors = SimpleNamespace(Error=type("Error", (Exception,), {}))
        self.summary = SimpleNamespace(update=lambda values: self.calls.append(("summary", values)))

    def init(self, **settings: Any) -> FakeWandb:
        self.calls.append(("init", settings))
        if settings.get("mode") != "offline":
            raise self.errors.Error("not reachable")
        return self

    def teardown(self) -> None:
        self.calls.append(("teardown", None))

    def define_metric(self, pattern: str, *, step_metric: str) -> None:
        self.calls.append(("define_metric", (pattern, step_metric)))

    def log(self, values: dict[str, Any]) -> None:
        self.calls.append(("log", values))

    def finish(self, *, exit_code: int) -> None:
        self.calls.append(("finish", exit_code))

    Settings = Html = Image = SimpleNamespace
    Html = staticmethod(lambda text: ("html", text))  # type: ignore[assignment]
    Image = staticmethod(lambda picture: ("image", picture.shape))  # type: ignore[assignment]


def test_calls_to_wandb(tmp_path, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    kind, make = LOGGERS["wandb"]
    log_all(make(kind(project="mine"), description(tmp_path / "run")))
    (_, online), (name, _), (_, offline), *rest = fake.calls
    assert (online["project"], online["resume"], name, offline["mode"]) == ("mine", "allow", "teardown", "offline")
    assert online["id"] == offline["id"] == stored_ids(tmp_path / "run")["wandb"]
    assert online["config"] == SETTINGS
    assert rest == [
        ("define_metric", ("*", "step")),
        ("log", {"loss/train": 1.5, "valid_bleu_by_length/0–10": 2.0, "step": 10}),
        ("log", {"valid_translations": rest[2][1]["valid_translations"], "step": 10}),
        ("log", {"valid_cross_attention/1": ("image", (4, 6, 3)), "step": 10}),
        ("summary", {"test bleu": 12.5, "status": "good"}),
        ("finish", 0),
    ]
    assert "<strong>b</strong>" in rest[2][1]["valid_translations"][1]


def test_wandb_keeps_a_run_in_its_folder_while_it_is_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    kind, make = LOGGERS["wandb"]
    log_all(make(kind(), description(tmp_path / "run")))
    identifier = stored_ids(tmp_path / "run")["wandb"]
    assert len(list((tmp_path / "run" / "wandb").glob(f"offline-run-*-{identifier}"))) == 1


def test_mlflow_has_curves_parameters_and_results_of_both_sessions(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.chdir(tmp_path)  # texts and pictures of a local database
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    kind, make = LOGGERS["mlflow"]
    for step in (0, 10):
        log_all(make(kind(uri=uri), description(tmp_path / "run", step=step)))
    client = mlflow.MlflowClient(tracking_uri=uri)
    (found,) = client.search_runs([client.get_experiment_by_name("translate").experiment_id])
    assert (found.info.run_name, found.info.status) == ("mine", "FINISHED")
    assert found.data.params == {name: str(value) for name, value in SETTINGS.items()}
    assert found.data.metrics == {"loss/train": 1.5, "valid_bleu_by_length/0_10": 2.0, "test bleu": 12.5}
    assert found.data.tags["status"] == "good"
    assert [metric.step for metric in client.get_metric_history(found.info.run_id, "loss/train")] == [10, 10]
    assert [each.path for each in client.list_artifacts(found.info.run_id)] == [
        "valid_cross_attention",
        "valid_translations",
    ]


def test_a_server_that_is_down_costs_a_warning(tmp_path, monkeypatch, caplog):
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setattr(logging.getLogger("translate"), "propagate", True)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    configs = {"mlflow": LOGGERS["mlflow"][0](uri="http://127.0.0.1:9")}  # type: ignore[call-arg]
    combined = CombinedLogger(configs, description(tmp_path / "run"))
    log_all(combined)
    warnings = [record.message for record in caplog.records if record.message.startswith("logger=mlflow: ")]
    assert len(warnings) == 1
    assert warnings[0].endswith("this session is not logged there")


def test_trackio_has_the_curves(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio", reason="the extra trackio is not installed")
    kind, make = LOGGERS["trackio"]
    log_all(make(kind(project="tested"), description(tmp_path / "run")))
    (run,) = trackio.Api().runs("tested")
    assert run.name == f"mine {stored_ids(tmp_path / 'run')['trackio']}"
    logged = json.dumps(trackio.SQLiteStorage.get_logs("tested", run.name), default=str)
    assert '"loss/train": 1.5' in logged
    assert '"test bleu": 12.5' in logged


def test_the_table_has_a_yaml_file_for_each_logger():
    files = Path(loggers.__file__).parents[3] / "configs" / "logger"
    assert {path.stem for path in files.glob("*.yaml")} == set(LOGGERS)
