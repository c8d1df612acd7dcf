"""TensorBoard's event files, written by the thread that calls: none is left to fail at exit, or to be lost in a fork.

Records are kept in memory until they are on disk. On a full disk the file stays readable up to its last whole record,
and the others follow when there is room: curves are worth a warning, but not the end of a training.
"""

from __future__ import annotations

import io
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar, text

from translate.disk_space import describe_full
from translate.explanation import Picture
from translate.files import write_bytes

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 120.0
_MOST_UNWRITTEN = 20_000  # records; the oldest are lost where a disk stays full
_VERSION = "brain.Event:2"  # of the format


class EventFile:
    """A new event file in a folder.

    purge_step  TensorBoard drops what earlier files have of this step and later ones; 0: nothing
    """

    def __init__(self, folder: Path, *, purge_step: int = 0) -> None:
        # the form of the name by which TensorBoard knows event files; the time orders those of a run
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
        self._path = folder / name
        self._unwritten: deque[bytes] = deque(maxlen=_MOST_UNWRITTEN)
        self._size = 0  # of the whole records in the file
        self._flushed = time.monotonic()
        self._is_failing = False
        self._add(Event(file_version=_VERSION))
        if purge_step:
            self._add(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))
        self.flush()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for tag, value in values.items():
            self.add(scalar(tag, value), step)

    def text(self, tag: str, markdown: str, step: int) -> None:
        # names of files may hold bytes that are no text, which protocol buffers refuse
        self.add(text(tag, markdown.encode(errors="backslashreplace").decode()), step)

    def picture(self, tag: str, picture: Picture, step: int) -> None:
        self.add(image(tag, picture, dataformats="HWC"), step)

    def add(self, summary: Summary, step: int = 0) -> None:
        """Add any summary of TensorBoard's."""
        self._add(Event(step=step, summary=summary))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet, or keep it for the next time."""
        self._flushed = time.monotonic()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # by its name, and after the last whole record: the folder may have gone, the disk been full
            with open(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666), "wb", buffering=0) as file:
                # less than was written: of a folder that was removed
                self._size = min(self._size, os.fstat(file.fileno()).st_size)
                file.truncate(self._size)
                file.seek(self._size)
                while self._unwritten:
                    _write_all(file, self._unwritten[0])
                    self._size += len(self._unwritten.popleft())
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                logger.warning(f"curves: {describe_full(self._path.parent, error)}; they follow once there is room")
            self._is_failing = True

    def _add(self, event: Event) -> None:
        self._unwritten.append(_record(event))


def replace_summaries(path: Path, summaries: Iterable[Summary]) -> None:
    """Write an event file that has these summaries only; where that fails, warn, and leave the former one."""
    events = [Event(file_version=_VERSION), *(Event(summary=summary) for summary in summaries)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, b"".join(map(_record, events)))
    except OSError as error:
        logger.warning(f"hyperparameters: {describe_full(path.parent, error)}")


def _record(event: Event) -> bytes:
    """An event as it is in a file: between its length and checksums."""
    event.wall_time = time.time()
    RecordWriter(record := io.BytesIO()).write(event.SerializeToString())
    return record.getvalue()


def _write_all(file: io.FileIO, record: bytes) -> None:
    """Write a record, of which the system may take a part at a time."""
    remaining = memoryview(record)
    while remaining:
        remaining = remaining[file.write(remaining) :]
