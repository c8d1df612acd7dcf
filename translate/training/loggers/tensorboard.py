"""TensorBoard: event files in the run's folder, so that the folder's name is that of the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from translate.explanation import Picture
from translate.training.loggers.logger import LoggerConfig, RunDescription, Status, Value

_LONGEST_NAME = 100  # characters of a folder's name


@dataclass(kw_only=True)
class TensorBoardConfig(LoggerConfig):
    """TensorBoard has no settings."""


class TensorBoardLogger:
    """Writes event files by the calling thread; see tensorboard_events.py for the reasons."""

    def __init__(self, config: TensorBoardConfig, run: RunDescription):
        # PyTorch's and TensorBoard's protocol buffers are slow to import
        from translate.training.loggers.tensorboard_summaries import layout

        self._run, self._results = run, dict[str, Value]()
        self._folder = event_folder(run)
        self._is_older = self._folder.name == _OLDER
        # a killed session may have shown steps after its last checkpoint, which come again
        self._open(purge_step=run.step + 1 if run.step else 0)
        self._file.add(layout(run.scores))
        self._write_row(Status.running)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._file.scalars({self._tag(tag): value for tag, value in values.items()}, step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        self._file.text(tag, markdown, step)

    def picture(self, tag: str, picture: Picture, step: int) -> None:
        self._file.picture(tag, picture, step)

    def rewind(self, step: int) -> None:
        self._file.flush()
        # a new file: TensorBoard drops the later points of earlier files
        self._open(purge_step=step + 1)

    def results(self, values: Mapping[str, Value]) -> None:
        self._results |= values

    def flush(self) -> None:
        self._file.flush()

    def close(self, status: Status) -> None:
        from translate.training.loggers.tensorboard_summaries import session_end

        # for a TensorBoard that is open, which does not read the replaced file of the row again
        if status is not Status.interrupted:
            self._file.add(session_end(status))
        self._file.flush()
        self._write_row(status)

    def _open(self, *, purge_step: int) -> None:
        from translate.training.loggers.tensorboard_events import EventFile

        self._file = EventFile(self._folder, purge_step=purge_step)

    def _tag(self, tag: str) -> str:
        """The tag of a curve; in a folder of an older version the one that its curves have."""
        group, _, name = tag.partition("/")
        if self._is_older and group in ("loss", "score"):
            return f"{name}/loss" if group == "loss" else f"valid/{name}"
        return tag

    def _write_row(self, status: Status) -> None:
        """Write the run's row of the HParams tab.

        TensorBoard reads a run's settings and results from the first summary that it finds. Hence they are in a file of
        their own, which is replaced and comes first by name.
        """
        from translate.training.loggers.tensorboard_columns import ROW_FILE, update_columns
        from translate.training.loggers.tensorboard_events import replace_summaries
        from translate.training.loggers.tensorboard_summaries import session_end, session_start

        run = self._run
        # unique: TensorBoard takes the mean of runs of one title; it shows 16 characters, hence the number comes first
        number = run.folder.name.rpartition("-")[2]
        title = f"{number}: {run.name} ({run.group})" if run.group else run.name
        ended = {} if status is Status.running else {"status": status.value}
        summaries = [session_start(title, {**run.settings, **ended, **self._results})]
        if status in (Status.finished, Status.failed):
            summaries.append(session_end(status))
        replace_summaries(self._folder / ROW_FILE, summaries)
        update_columns(run.folder, run.scores)


_OLDER = "tensorboard"  # name of the folder of event files in runs of older versions


def event_folder(run: RunDescription) -> Path:
    """The folder of a run's event files, whose path TensorBoard shows as the name of the run.

    It is the run's own folder; in a trial, whose folder has a number only, one that is named by the varied settings.
    """
    older = run.folder / _OLDER
    if older.is_dir():
        return older  # its curves continue there
    if not run.group:
        return run.folder
    # values may be paths or lists
    return run.folder / (re.sub(r"[^\w.,=+ -]", "_", run.name)[:_LONGEST_NAME].strip(" .") or "curves")
