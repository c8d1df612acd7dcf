"""A run's folder: paths, ownership and lock, and whether a configuration may continue the run in it."""

from __future__ import annotations

import os
import platform
import subprocess
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import sentencepiece
import torch
import yaml

import translate
from translate.console import TIME_FORMAT
from translate.errors import UserError
from translate.files import ProcessLock, read_json, write_json, write_text
from translate.folders import MARKER, interrupted, is_marked, listing, mark, restore_directory
from translate.model_directory import MODEL, MODEL_FILES, WEIGHTS
from translate.text import text_form_of
from translate.tokenizer import TOKENIZER_FILES, Tokenizer
from translate.training.changes import Changes, find_changes, plain
from translate.training.config import TrainConfig
from translate.training.state import STATE_FILES, STATE_NAME, saved_states

# entries of the manifest that follow settings which may change in a run
_FOLLOWING = ("source_language", "target_language")
RUN_KIND = "run"  # in the folder's marker
_LOCK = ".lock"
_LEFT_BY_FAILED_START = {"train.log", MARKER, _LOCK, f"{_LOCK}.json"}
_OF_BACK_TRANSLATION = {"reverse", "synthetic"}
_OF_A_CONFIG = {"data", "tokenizer", "model", "run"}  # keys that config.yaml has always had


@dataclass(eq=False)
class RunFolder:
    path: Path
    _lock: ProcessLock | None = field(default=None, init=False, repr=False)

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def log(self) -> Path:
        return self.path / "train.log"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def states(self) -> Path:
        return self.path / "state"

    @property
    def best(self) -> Path:
        return self.path / "best"

    @property
    def last(self) -> Path:
        return self.path / "last"

    @property
    def average(self) -> Path:
        return self.path / "average"

    @property
    def held_out(self) -> Path:
        return self.path / "held_out"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def has_begun(self) -> bool:
        """True if there is a run to continue: one that ended before its first state was saved starts from scratch."""
        return self.config.exists() and (bool(saved_states(self.states)) or self.result.exists())

    def open(self, config: TrainConfig) -> Changes:
        """Make the folder, or find what the configuration changes in the run that is there.

        No other process may open it until close(). Nothing of the run is written yet. Raises UserError for a folder of
        another kind, one in use, and settings that must not change.
        """
        self.claim()
        for directory in (self.best, self.last, self.average):
            restore_directory(directory, owned=MODEL_FILES)
        for directory in interrupted(self.states):
            if STATE_NAME.fullmatch(directory.name):
                restore_directory(directory, owned=STATE_FILES)
        if not self.has_begun:
            return Changes(config.schedule, plain(config))
        return find_changes(config, self._read_config(), folder=self.path)

    def claim(self) -> None:
        """Make the folder and lock it. Raises UserError for a folder of another kind, or one that a process uses."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._check_kind()
            probe = self.path / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
            lock = ProcessLock(self.path / _LOCK)
            if not lock.acquire(wait=False):
                raise UserError(
                    f"run.dir={self.path}: another process is at work on this run ({lock.holder()}); "
                    "wait until it is over, stop it, or choose another run.dir"
                )
            self._lock = lock
            mark(self.path, RUN_KIND)
        except OSError as error:
            raise UserError(f"run.dir={self.path}: cannot be written to: {error.strerror}") from None

    def close(self) -> None:
        """Let other processes open the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _check_kind(self) -> None:
        """Raise UserError unless the folder is empty, a run's, or left by a start that failed."""
        names = {path.name for path in self.path.iterdir()}
        if self.manifest.exists() and not self.config.exists():
            if names & {MODEL, WEIGHTS}:
                raise UserError(
                    f"run.dir={self.path} is a model directory, not a run's folder: choose another run.dir; "
                    f"adapt=full adapt.model={self.path} goes on from this model"
                )
            if self.result.exists() or saved_states(self.states):
                raise UserError(
                    f"run.dir={self.path}: {self.config.name} is missing, which says what this run is; "
                    "bring it back, or choose another run.dir"
                )
        is_of_earlier_version = {self.config.name, self.manifest.name} <= names
        is_run = is_marked(self.path, RUN_KIND) or is_of_earlier_version
        started = _LEFT_BY_FAILED_START | _OF_BACK_TRANSLATION | {self.config.name}
        if not is_run and names - started:
            raise UserError(
                f"run.dir={self.path}: this folder is not a run's, and it is not empty: it holds "
                f"{listing(sorted(names - _LEFT_BY_FAILED_START))}; choose a new folder"
            )
        if self.config.exists() and not is_marked(self.path, RUN_KIND):
            self._read_config()  # somebody else's may have this name

    def _read_config(self) -> dict[str, Any]:
        try:
            content = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            content = None
        if not isinstance(content, dict) or not content.keys() >= _OF_A_CONFIG:
            raise UserError(
                f"{self.config} is damaged or not a run's configuration; bring it back, or choose another run.dir"
            )
        return content

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer of the run in this folder; None where nothing has been saved or its files were removed.

        Raises UserError for a tokenizer that is not the one that the run began with.
        """
        if not (self.has_begun and self.manifest.exists() and self._tokenizer_files()):
            return None
        manifest = read_json(self.manifest)
        tokenizer = Tokenizer.load(self.path, text_form=text_form_of(manifest))
        if tokenizer.hash != manifest.get("tokenizer"):
            raise UserError(
                f"run.dir={self.path}: the tokenizer there (hash {tokenizer.hash[:12]}) is not the one that the run "
                f"began with ({str(manifest.get('tokenizer'))[:12]}): bring it back; {self.best} may have a copy"
            )
        return tokenizer

    def describe(self, config: dict[str, Any], manifest: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
        """Write configuration, manifest and tokenizer, or check them against the stored ones; the manifest in force.

        Raises UserError where data, tokenizer or base model are not those that the run began with.
        """
        if self.has_begun and self.manifest.exists():
            before = read_json(self.manifest)
            for key, what in (("data", "data"), ("tokenizer", "tokenizer"), ("base", "weights of adapt.model")):
                if before.get(key) != manifest.get(key):
                    raise UserError(self._mismatch(key, what, before, manifest))
            if not self._tokenizer_files():
                tokenizer.save(self.path)
            following = list(_FOLLOWING)
            if before.get("target_language") != manifest.get("target_language"):
                following.append("bleu_tokenizer")
            return {**before, **{key: manifest[key] for key in following if key in manifest}}
        for path in self._tokenizer_files():  # of a start that saved nothing
            path.unlink()
        tokenizer.save(self.path)
        self.write(config, manifest)
        return manifest

    def write(self, config: dict[str, Any], manifest: dict[str, Any]) -> None:
        """Write the manifest, then the configuration: until that is new, the next session finds the same changes."""
        write_json(self.manifest, manifest)
        write_text(self.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def _tokenizer_files(self) -> list[Path]:
        return [path for name in TOKENIZER_FILES if (path := self.path / name).exists()]

    def _mismatch(self, key: str, what: str, before: dict[str, Any], now: dict[str, Any]) -> str:
        hashes = f"hash {str(before.get(key))[:12]}, now {str(now.get(key))[:12]}"
        older = "text_form" not in before or before.get("translate") != now["translate"]
        if older and key != "base":
            return (
                f"run.dir={self.path} was made by an older version of this program ({before.get('translate')}, commit "
                f"{before.get('commit') or 'unknown'}), and this one does not get the same {what} ({hashes}): continue "
                "it with that version, or choose another run.dir; if the files have changed, bring the old ones back"
            )
        return (
            f"run.dir={self.path} belongs to a run on other {what} ({hashes}): choose another run.dir, or bring the "
            "old files back"
        )


def provenance() -> dict[str, Any]:
    """Versions and hardware that a result depends on."""
    return {
        "translate": translate.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "sentencepiece": sentencepiece.__version__,
        "sacrebleu": sacrebleu.__version__,
        "numpy": np.__version__,
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else _processor(),
        "threads": torch.get_num_threads(),
    }


def _commit() -> str:
    """The commit of this source tree, with a mark if files differ from it; empty outside a repository."""
    root = Path(translate.__file__).parent.parent
    if not (root / ".git").exists():  # an installed package; git would find the repository of somebody's environment
        return ""
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        return f"{names[0]}, {len(names)} cores"
    except (OSError, IndexError):
        return platform.processor()


@contextmanager
def errors_logged(path: Path) -> Iterator[None]:
    """Append an error raised inside to a run's log, if that exists by then; an unexpected one with its traceback."""
    try:
        yield
    except Exception as error:
        text = f"error: {error}" if isinstance(error, UserError | OSError) else traceback.format_exc().rstrip()
        if path.exists() and is_marked(path.parent, RUN_KIND):  # not somebody else's train.log
            # not through the logger, which is silent on all processes but the main one; on a full disk nothing is
            # written, and the first error is the one that is raised
            rank = os.environ.get("RANK", "0")
            with suppress(OSError), open(path, "a", encoding="utf-8") as file:
                file.write(f"{time.strftime(TIME_FORMAT)} {'' if rank == '0' else f'process {rank}: '}{text}\n")
        raise
