"""Weights & Biases: curves on its server, or in the run's folder where that cannot be reached."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from translate.errors import excerpt, import_extra
from translate.explanation import Picture
from translate.training.loggers.logger import LoggerConfig, RunDescription, Status, Value
from translate.training.loggers.servers import library_errors, run_id

logger = logging.getLogger(__name__)

_INIT_SECONDS, _FINISH_SECONDS = 30.0, 60.0  # that a server may take at the start and at the end


@dataclass(kw_only=True)
class WandbConfig(LoggerConfig):
    """Settings of Weights & Biases.

    entity  user or team that the project belongs to; "": the default one of the account
    """

    project: str = "translate"
    entity: str = ""

    def check(self, key: str) -> None:
        import_extra("wandb", extra="wandb", purpose="logger=[wandb]")


class WandbLogger:
    """Sends through wandb's own process, so that training does not wait for the server."""

    def __init__(self, config: WandbConfig, run: RunDescription):
        import wandb

        self._library, self._errors = wandb, (wandb.errors.Error,)
        arguments: dict[str, Any] = {
            "project": config.project,
            "entity": config.entity or None,
            "id": run_id(run.folder, "wandb"),
            "name": run.name,
            "group": run.group or None,
            "dir": str(run.folder),
            "config": dict(run.settings),
            "resume": "allow",
            "settings": wandb.Settings(silent=True, init_timeout=_INIT_SECONDS, finish_timeout=_FINISH_SECONDS),
        }
        with library_errors(*self._errors):
            try:
                self._run = wandb.init(**arguments)
            except wandb.errors.Error as error:
                kept = run.folder / "wandb"
                logger.warning(f"logger=wandb: {excerpt(error)}; curves are kept in {kept} for wandb sync")
                wandb.teardown()  # its process still holds the run
                # offline there is no run to resume; wandb sync joins its parts by their id
                self._run = wandb.init(**arguments | {"mode": "offline", "resume": None})
            # by step, not by call: steps come again after a return to an earlier state
            self._run.define_metric("*", step_metric="step")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._log(dict(values), step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        from markdown import markdown as to_html

        self._log({tag: self._library.Html(to_html(markdown, extensions=["tables", "fenced_code"]))}, step)

    def picture(self, tag: str, picture: Picture, step: int) -> None:
        self._log({tag: self._library.Image(picture)}, step)

    def rewind(self, step: int) -> None:
        """Points of a step that comes again are added: the last one counts."""

    def results(self, values: Mapping[str, Value]) -> None:
        with library_errors(*self._errors):
            self._run.summary.update(dict(values))

    def flush(self) -> None:
        """Everything is on its way already."""

    def close(self, status: Status) -> None:
        with library_errors(*self._errors):
            self._run.finish(exit_code=0 if status is Status.finished else 1)

    def _log(self, values: dict[str, Any], step: int) -> None:
        with library_errors(*self._errors):
            self._run.log({**values, "step": step})
