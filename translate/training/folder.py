"""A run's folder: where things are, what the run is, and whether it may be continued."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import sentencepiece
import torch
import yaml

import translate
from translate.errors import UserError
from translate.files import (
    MARKER,
    ProcessLock,
    interrupted,
    is_marked,
    listing,
    mark,
    read_json,
    restore_directory,
    write_json,
    write_text,
)
from translate.model_directory import MODEL, MODEL_FILES, WEIGHTS
from translate.text import text_form_of
from translate.tokenizer import Tokenizer
from translate.training.state import STATE_FILES, STATE_NAME

# decided by their content, which the data's fingerprint covers, or without effect on the result
FREE_KEYS = (
    "name",
    "data.root",
    "data.train_stem",
    "data.cache",
    "data.train",
    "data.additional",
    "data.valid",
    "data.test",
    "split",
    "tokenizer.max_sentences",  # a run that has begun has its tokenizer
    "compute.device",
    "compute.threads",
    "run.dir",
    "run.max_steps",
    "run.max_epochs",
    "run.max_minutes",
    "run.patience",
    "run.log_every",
    "run.keep",
    "run.max_skipped",
    "validation.samples",
    "validation.attention_maps",
    "pruning",
)


_RUN = "run"  # the kind of folder, in its marker
_LOCK = ".lock"
_OF_A_FAILED_START = {"train.log", MARKER, _LOCK, f"{_LOCK}.json"}
_OF_BACK_TRANSLATION = {"reverse", "synthetic"}


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
    def evaluation(self) -> Path:
        return self.path / "evaluation"

    def open(self, config: dict[str, Any]) -> None:
        """Make the folder, or check that the run in it has this configuration; no other process may, until close().

        Raises UserError.
        """
        self.claim()
        if self.config.exists():
            self._compare(self._read_config(), config)
        for directory in (self.best, self.last, self.average):
            restore_directory(directory, owned=MODEL_FILES)
        for directory in interrupted(self.states):
            if STATE_NAME.fullmatch(directory.name):
                restore_directory(directory, owned=STATE_FILES)

    def claim(self) -> None:
        """Make the folder and lock it. Raises UserError for one of another kind, or in which a process is at work."""
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
            mark(self.path, _RUN)
        except OSError as error:
            raise UserError(f"run.dir={self.path}: cannot be written to: {error.strerror}") from None

    def close(self) -> None:
        """Let other processes open the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _check_kind(self) -> None:
        """UserError unless the folder is empty, a run's, or left by a start that failed."""
        names = {path.name for path in self.path.iterdir()}
        if self.manifest.exists() and not self.config.exists():
            if names & {MODEL, WEIGHTS}:
                raise UserError(
                    f"run.dir={self.path} is a model directory, not a run's folder: choose another run.dir; "
                    f"adapt=full adapt.model={self.path} goes on from this model"
                )
            raise UserError(
                f"run.dir={self.path}: {self.config.name} is missing, which says what this run is; "
                "bring it back, or choose another run.dir"
            )
        is_run = is_marked(self.path, _RUN) or {self.config.name, self.manifest.name} <= names  # of earlier versions
        started = _OF_A_FAILED_START | _OF_BACK_TRANSLATION | {self.config.name}
        if not is_run and names - started:
            raise UserError(
                f"run.dir={self.path}: this folder is not a run's, and it is not empty: it holds "
                f"{listing(sorted(names - _OF_A_FAILED_START))}; choose a new folder"
            )

    def _read_config(self) -> dict[str, Any]:
        try:
            content = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            content = None
        if not isinstance(content, dict) or "run" not in content:
            raise UserError(
                f"{self.config} is damaged or not a run's configuration; bring it back, or choose another run.dir"
            )
        return content

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer of the run in this folder; None where no run has begun or its tokenizer was removed.

        Raises UserError for another one than the run began with.
        """
        if not self.manifest.exists() or not any(self.path.glob("*tokenizer.model")):
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
        """Write what the run is, or check that it is what it was; the manifest. Raises UserError."""
        if self.manifest.exists():
            before = read_json(self.manifest)
            for key, what in (("data", "data"), ("tokenizer", "tokenizer"), ("base", "weights of adapt.model")):
                if before.get(key) != manifest.get(key):
                    raise UserError(self._other_run(key, what, before, manifest))
            if not any(self.path.glob("*tokenizer.model")):
                tokenizer.save(self.path)
            return before
        tokenizer.save(self.path)  # before the manifest, which says that a run has begun
        write_text(self.config, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        write_json(self.manifest, manifest)
        return manifest

    def _other_run(self, key: str, what: str, before: dict[str, Any], now: dict[str, Any]) -> str:
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

    def _compare(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        old, new = flatten(before), flatten(now)
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key) and not _is_free(key)]
        if changed:
            listing = "\n".join(f"  {key}: {old.get(key)!r} there, {new.get(key)!r} now" for key in changed)
            raise UserError(
                f"run.dir={self.path} belongs to a run with another configuration:\n{listing}\n"
                "choose another run.dir, or delete that folder to start anew"
            )


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested configuration as dotted keys."""
    if not isinstance(config, dict):
        return {prefix: config}
    return {
        name: value
        for key, inner in config.items()
        for name, value in flatten(inner, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(free + ".") for free in FREE_KEYS)


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
    try:
        command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
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
