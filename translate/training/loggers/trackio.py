"""Trackio: curves in a database on this machine, or in a space of the Hugging Face hub."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from translate.errors import import_extra
from translate.explanation import Picture
from translate.training.loggers.logger import LoggerConfig, RunDescription, Status, Value
from translate.training.loggers.servers import library_errors, run_id

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class TrackioConfig(LoggerConfig):
    """Settings of Trackio.

    space  of the Hugging Face hub; "": a database on this machine, which `trackio show` displays
    """

    project: str = "translate"
    space: str = ""

    def check(self, key: str) -> None:
        import_extra("trackio", extra="trackio", purpose="logger=[trackio]")


class TrackioLogger:
    """Sends through trackio's own thread."""

    def __init__(self, config: TrackioConfig, run: RunDescription):
        import trackio

        self._library = trackio
        # trackio prints instructions, which would cut through the log
        with library_errors(RuntimeError, ValueError), redirect_stdout(io.StringIO()):
            self._run = trackio.init(
                project=config.project,
                # runs of one name are one run to Trackio
                name=f"{run.name} {run_id(run.folder, 'trackio')}",
                group=run.group or None,
                space_id=config.space or None,
                config=dict(run.settings),
                resume="allow",
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )
        logger.info(f"curves: trackio show --project {config.project}")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._log(dict(values), step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        self._log({tag: self._library.Markdown(markdown)}, step)

    def picture(self, tag: str, picture: Picture, step: int) -> None:
        self._log({tag: self._library.Image(picture)}, step)

    def rewind(self, step: int) -> None:
        """Points of a step that comes again are added: the last one counts."""

    def results(self, values: Mapping[str, Value]) -> None:
        self._run.config.update(values)
        self._log({name: value for name, value in values.items() if not isinstance(value, str)}, None)

    def flush(self) -> None:
        """Everything is on its way already."""

    def close(self, status: Status) -> None:
        with library_errors(RuntimeError, ValueError), redirect_stdout(io.StringIO()):
            self._library.finish()

    def _log(self, values: dict[str, Any], step: int | None) -> None:
        with library_errors(RuntimeError, ValueError):
            self._run.log(values, step=step)
