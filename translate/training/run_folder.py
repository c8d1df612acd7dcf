"""A run's folder: paths, ownership and lock; errors in its log."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import yaml

from translate.checksums import verify
from translate.console import TIME_FORMAT
from translate.data.prepare import Prepared
from translate.disk_space import is_full, write_error
from translate.errors import FullDiskError, UserError
from translate.files import BackgroundWriter, json_text, require_no_files, write_text
from translate.folders import MARKER, foreign_names, interrupted, is_marked, listing, mark, restore_directory
from translate.locks import ProcessLock
from translate.model_directory import MANIFEST, MODEL, MODEL_FILES, WEIGHTS, read_run_manifest
from translate.signals import Interrupted
from translate.text import text_form_of
from translate.tokenizer import TOKENIZER_FILES, Tokenizer
from translate.training.saved_states import (
    CONFIG,
    STATE_FILES,
    STATE_NAME,
    read_config,
    require_states,
    saved_states,
    set_aside_damaged,
    state_folders,
)
from translate.truecasing import TRUECASE, Truecaser

logger = logging.getLogger(__name__)
RUN_KIND = "run"  # in the folder's marker
LOCK = ".lock"
_OF_ITS_OWN = {MARKER, LOCK, f"{LOCK}.json", ".writable-*"}  # patterns of names that no other program gives
_OF_BACK_TRANSLATION = {"reverse", "synthetic"}
_OF_A_MODEL = ("step", "averaged", "search", "decoding_precision")  # keys of its manifest that a run's does not have


class RunFolder:
    """Paths in the folder of one run; its lock; and the thread that writes into it while the run continues.

    texts     content of config.yaml and manifest.json by name, on the main process: every state has a copy
    notes     for the log, about files that were lost or damaged
    verified  the newest state, whose contents were compared with their checksums

    A context, on exit of which nothing is written any more and other processes may open the folder.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config_file, self.manifest_file = self.path / CONFIG, self.path / MANIFEST
        self.log_file, self.result_file = self.path / "train.log", self.path / "result.json"
        self.best, self.last, self.average = self.path / "best", self.path / "last", self.path / "average"
        self.states, self.best_models = self.path / "state", self.path / "best_models"
        self.held_out, self.evaluation = self.path / "held_out", self.path / "evaluation"
        self.validation = self.path / "validation"
        self.writer = BackgroundWriter()
        self.texts: dict[str, str] = {}
        self.notes: list[str] = []
        self.verified: Path | None = None
        self._lock: ProcessLock | None = None

    @property
    def has_begun(self) -> bool:
        """True if there is a run to continue: one that ended before its first state was saved starts from scratch."""
        return bool(state_folders(self.states)) or self.result_file.exists()

    def open(self) -> None:
        """Make and lock the folder, and restore what a killed process was replacing; nothing of the run is written.

        Raises UserError for a folder of another kind and for one in use.
        """
        self.claim()
        for directory in (self.best, self.last, self.average, *interrupted(self.best_models)):
            restore_directory(directory, owned=MODEL_FILES)
        # a state that was being written or removed has no folder under its own name
        for directory in interrupted(self.states):
            if STATE_NAME.fullmatch(directory.name):
                restore_directory(directory, owned=STATE_FILES)
        # last/ is saved with the states; without any, training had diverged if their folder is still there
        if self.result_file.exists() or (self.last.exists() and not self.states.exists()):
            require_states(self.states)
        if self.has_begun:
            self.notes += set_aside_damaged(self.states)
            self.verified = next(reversed(state_folders(self.states)), None)
            self._restore_text(self.config_file, read_config)
            self._restore_text(self.manifest_file, read_run_manifest)

    def _restore_text(self, file: Path, read: Callable[[Path], dict[str, Any]]) -> None:
        """Read one of the two files that describe the run; where it was lost or cut, make it again from a copy.

        Raises UserError where there is none.
        """
        copies = [state / file.name for state in reversed(saved_states(self.states))]
        models = [self.last / MANIFEST, self.best / MANIFEST] if file is self.manifest_file else []
        # where states were set aside, settings that were taken up after the state before are changes once more
        sources = (*copies, file, *models) if self.notes else (file, *copies, *models)
        for source in sources:
            with suppress(FileNotFoundError, UserError):
                if source is not file:
                    verify(source.parent)  # a copy counts only where it is what was written
                content, text = read(source), source.read_text(encoding="utf-8")
                if source in models:
                    text = json_text({key: value for key, value in content.items() if key not in _OF_A_MODEL})
                if not (file.exists() and file.read_bytes() == text.encode()):
                    write_text(file, text)
                    self.notes.append(f"{file} is made again from {source}")
                self.texts[file.name] = text
                return
        raise UserError(
            f"{file} is missing or damaged, and no state has a copy; bring it back, or choose another run.dir"
        )

    def claim(self) -> None:
        """Make the folder and lock it. Raises UserError for a folder of another kind, or one that a process uses."""
        if str(self.path) in ("True", "False"):  # as options of true and false arrive here
            raise UserError(f"run.dir={self.path}: name a folder")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # before anything is written: a folder of another kind stays as it is
            self._check_kind()
            # a folder that cannot be written to is found now, not at the first checkpoint
            probe = self.path / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
            lock = ProcessLock(self.path / LOCK)
            if not lock.acquire():
                raise UserError(
                    f"run.dir={self.path}: another process is at work on this run ({lock.holder()}); "
                    "wait until it is over, stop it, or choose another run.dir"
                )
            self._lock = lock
            mark(self.path, RUN_KIND)
        except FileExistsError:
            raise UserError(f"run.dir={self.path}: that is a file, or a link to nothing; name a folder") from None
        except OSError as error:
            raise write_error(self.path, error, option="run.dir") from None

    def close(self) -> None:
        """Wait for what is being written, and let other processes open the folder."""
        # in this order: the next process must not find files that this one is writing
        self.writer.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _check_kind(self) -> None:
        """Raise UserError unless the folder is empty, a run's, or left by a start that failed."""
        models = [self.best, self.last, self.average, self.best_models]
        require_no_files([*models, self.states, self.evaluation, self.validation, self.path / "tensorboard"])
        names = {path.name for path in self.path.iterdir()}
        if self.manifest_file.exists() and not self.config_file.exists():
            if names & {MODEL, WEIGHTS}:
                raise UserError(
                    f"run.dir={self.path} is a model directory, not a run's folder: choose another run.dir; "
                    f"adapt=full adapt.model={self.path} trains this model further"
                )
            if self.has_begun and not is_marked(self.path, RUN_KIND):
                raise UserError(
                    f"run.dir={self.path}: {self.config_file.name}, which describes this run, is missing; "
                    "bring it back, or choose another run.dir"
                )
        is_of_earlier_version = {self.config_file.name, self.manifest_file.name} <= names
        is_run = is_marked(self.path, RUN_KIND) or is_of_earlier_version
        started = _OF_ITS_OWN | _OF_BACK_TRANSLATION | {self.config_file.name}
        # by itself, a log may be another program's
        own_log = {self.log_file.name} if self.config_file.name in names else set()
        if not is_run and foreign_names(self.path, started | own_log):
            raise UserError(
                f"run.dir={self.path}: this folder is not a run's, and it is not empty: it holds "
                f"{listing(sorted(names - _OF_ITS_OWN))}; choose a new folder"
            )
        if self.config_file.exists() and not is_marked(self.path, RUN_KIND):
            read_config(self.config_file)  # another program's file may have this name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer of the run in this folder; None where nothing has been saved or no copy of it is left.

        Raises UserError for a tokenizer that is not the one that the run began with.
        """
        if not self.has_begun:
            return None
        manifest = read_run_manifest(self.manifest_file)
        # reads text in the form of its training, which may be older than the current one
        form = text_form_of(manifest)
        for directory in (self.path, self.last, self.best):
            try:
                tokenizer = Tokenizer.load(directory, text_form=form)
            except UserError:  # lost or cut: a model of the run has the same
                continue
            expected = str(manifest.get("tokenizer"))
            if tokenizer.hash == expected:
                return tokenizer
            if directory is self.path:
                raise UserError(
                    f"run.dir={self.path}: the tokenizer there (hash {tokenizer.hash[:12]}) is not the one that the "
                    f"run began with ({expected[:12]}): bring it back; {self.best} may have a copy"
                )
        return None

    def truecaser(self, learned: Truecaser | None) -> Truecaser | None:
        """The usual case of words that the run in this folder began with; None in a run of an older version.

        learned  for a new run, and where no copy is left
        """
        if not self.has_begun:
            return learned
        if "case" not in read_run_manifest(self.manifest_file):
            return None
        for directory in (self.path, self.last, self.best):
            with suppress(OSError, UserError):  # lost or cut: a model of the run has the same
                return Truecaser.load(directory / TRUECASE)
        return learned

    def write(self, config: dict[str, Any], manifest: dict[str, Any]) -> None:
        """Write the manifest, then the configuration: until that is new, the next session finds the same changes."""
        self.texts = {
            MANIFEST: json_text(manifest),
            CONFIG: yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        }
        for name, text in self.texts.items():
            write_text(self.path / name, text)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest of a run whose configuration is there."""
        self.texts[MANIFEST] = json_text(manifest)
        write_text(self.manifest_file, self.texts[MANIFEST])

    def write_text_files(self, data: Prepared) -> None:
        """Write the tokenizer and the usual case of words, which also models have."""
        data.tokenizer.save(self.path)
        if data.truecaser is not None:
            data.truecaser.save(self.path / TRUECASE)

    def text_files(self) -> list[Path]:
        return [path for name in (*TOKENIZER_FILES, TRUECASE) if (path := self.path / name).exists()]


@contextmanager
def errors_logged(path: Path) -> Iterator[None]:
    """Append an error or a signal to a run's log, if that exists by then; an unexpected error with its traceback."""
    try:
        yield
    except (Exception, Interrupted) as cause:
        error = _with_kept(cause, path.parent)
        text = f"error: {error}" if isinstance(error, UserError | OSError) else traceback.format_exc().rstrip()
        text = str(error) if isinstance(error, Interrupted) else text
        if path.exists() and is_marked(path.parent, RUN_KIND):  # not another program's train.log
            # not through the logger, which is silent on all processes but the main one; on a full disk nothing is
            # written, and the first error is the one that is raised
            rank = os.environ.get("RANK", "0")
            with suppress(OSError), open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{time.strftime(TIME_FORMAT)} {'' if rank == '0' else f'process {rank}: '}{text}\n")
        if error is cause:
            raise
        raise error from None


def _with_kept(error: BaseException, run: Path) -> BaseException:
    """The error; that of a full disk with what the run still has, and how to go on."""
    if isinstance(error, OSError) and is_full(error):
        error = write_error(Path(error.filename or run), error)
    if not isinstance(error, FullDiskError):
        return error
    states = saved_states(run / "state")
    kept, verb = (f"{states[-1]} is kept", "continues") if states else ("no state was saved yet", "starts again")
    return FullDiskError(f"{error}; {kept}: the same command {verb} once there is room")
