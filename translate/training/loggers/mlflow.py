"""MLflow: curves, texts and pictures of a run, on a tracking server or in local files."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from translate.errors import import_extra
from translate.explanation import Picture
from translate.training.loggers.logger import LoggerConfig, RunDescription, Status, Value
from translate.training.loggers.servers import library_errors, store_id, stored_ids

_FLUSH_SECONDS = 60.0
_BATCH, _PARAMETERS = 1000, 100  # metrics and parameters of one request, the limits of MLflow
_MOST_UNSENT = 20_000  # metrics kept while the server does not answer
# defaults of MLflow's: two minutes for each of eight attempts, for which training would wait
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
_ENDS = {Status.finished: "FINISHED", Status.interrupted: "KILLED", Status.failed: "FAILED"}


@dataclass(kw_only=True)
class MlflowConfig(LoggerConfig):
    """Settings of MLflow.

    uri  of the tracking server, or a folder; "": as the environment variable MLFLOW_TRACKING_URI says
    """

    uri: str = ""
    experiment: str = "translate"

    def check(self, key: str) -> None:
        import_extra("mlflow", extra="mlflow", purpose="logger=[mlflow]")


class MlflowLogger:
    """Sends curves in batches: a request for each point would slow small models down."""

    def __init__(self, config: MlflowConfig, run: RunDescription):
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        import mlflow

        self._errors = (mlflow.exceptions.MlflowException,)
        self._entities = mlflow.entities
        self._unsent: deque[Any] = deque(maxlen=_MOST_UNSENT)
        self._sent = time.monotonic()
        with library_errors(*self._errors):
            self._client = mlflow.MlflowClient(tracking_uri=config.uri or None)
            self._id = stored_ids(run.folder).get("mlflow", "")
            if self._id:
                self._client.update_run(self._id, status="RUNNING")
            else:
                self._create(config.experiment, run)

    def _create(self, name: str, run: RunDescription) -> None:
        experiment = self._client.get_experiment_by_name(name)
        identifier = experiment.experiment_id if experiment else self._client.create_experiment(name)
        tags = {"sweep": run.group} if run.group else {}
        self._id = self._client.create_run(identifier, run_name=run.name, tags=tags).info.run_id
        store_id(run.folder, "mlflow", self._id)
        parameters = [self._entities.Param(_name(key), str(value)) for key, value in run.settings.items()]
        for start in range(0, len(parameters), _PARAMETERS):
            self._client.log_batch(self._id, params=parameters[start : start + _PARAMETERS])

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        # the time of the update, not that of the request, which comes up to a minute later
        now = int(1000 * time.time())
        self._unsent += [self._entities.Metric(_name(tag), value, now, step) for tag, value in values.items()]
        if time.monotonic() - self._sent > _FLUSH_SECONDS:
            self.flush()

    def text(self, tag: str, markdown: str, step: int) -> None:
        with library_errors(*self._errors):
            self._client.log_text(self._id, markdown, f"{_name(tag)}/step-{step:08}.md")

    def picture(self, tag: str, picture: Picture, step: int) -> None:
        with library_errors(*self._errors):
            self._client.log_image(self._id, picture, f"{_name(tag)}/step-{step:08}.png")

    def rewind(self, step: int) -> None:
        """Points of a step that comes again are added: the last one counts."""

    def results(self, values: Mapping[str, Value]) -> None:
        # MLflow's parameters cannot change, and its metrics are numbers: other results are tags
        numbers = {name: value for name, value in values.items() if not isinstance(value, str)}
        self.scalars(numbers, 0)
        with library_errors(*self._errors):
            for name in values.keys() - numbers.keys():
                self._client.set_tag(self._id, _name(name), values[name])

    def flush(self) -> None:
        self._sent = time.monotonic()
        with library_errors(*self._errors):
            while self._unsent:
                batch = [self._unsent[index] for index in range(min(_BATCH, len(self._unsent)))]
                self._client.log_batch(self._id, metrics=batch)
                # only now: after an error these points are sent again
                for _ in batch:
                    self._unsent.popleft()

    def close(self, status: Status) -> None:
        self.flush()
        with library_errors(*self._errors):
            self._client.set_terminated(self._id, status=_ENDS[status])


def _name(tag: str) -> str:
    """The tag without characters that MLflow refuses."""
    return re.sub(r"[^a-zA-Z0-9_\-. :/]", "_", tag)
