"""A run's folder: where things are, what the run is, and whether it may be continued."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import sentencepiece
import torch
import yaml

import translate
from translate.errors import UserError
from translate.model_directory import restore_directory
from translate.training.changes import Changes, find_changes, plain
from translate.training.settings import TrainConfig
from translate.training.state import saved_states

# entries of the manifest that follow settings which may change in a run
_FOLLOWING = ("source_language", "target_language")


@dataclass(frozen=True)
class RunFolder:
    path: Path

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

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def has_begun(self) -> bool:
        """Whether there is a run to go on with: one that ended before its first state begins anew."""
        return self.config.exists() and (bool(saved_states(self.states)) or self.result.exists())

    def open(self, config: TrainConfig) -> Changes:
        """Make the folder, or find what the configuration changes in the run that is there; UserError if it must not.

        Nothing of it is written yet.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UserError(f"run.dir={self.path}: cannot be written to: {error.strerror}") from None
        for directory in (self.best, self.last, self.average):
            restore_directory(directory)
        if not self.has_begun:
            return Changes(config.schedule, plain(config))
        before = yaml.safe_load(self.config.read_text(encoding="utf-8")) or {}
        return find_changes(config, before, folder=self.path)

    def describe(self, config: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
        """Write what the run is, or check that it is what it was; the manifest. Raises UserError."""
        if self.has_begun and self.manifest.exists():
            before = json.loads(self.manifest.read_text(encoding="utf-8"))
            for key, what in (("data", "data"), ("tokenizer", "tokenizer"), ("base", "weights of adapt.model")):
                if before.get(key) != manifest.get(key):
                    raise UserError(
                        f"run.dir={self.path} belongs to a run on other {what} (hash {str(before.get(key))[:12]}, "
                        f"now {str(manifest.get(key))[:12]}): choose another run.dir, or bring the old files back"
                    )
            return {**before, **{key: manifest[key] for key in _FOLLOWING if key in manifest}}
        self.write(config, manifest)
        return manifest

    def write(self, config: dict[str, Any], manifest: dict[str, Any]) -> None:
        """The configuration last: while it is the old one, the next session finds the same changes again."""
        contents = {
            self.manifest: json.dumps(manifest, indent=2, ensure_ascii=False) + "\n",
            self.config: yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        }
        for path, text in contents.items():
            partial = path.with_name(path.name + ".partial")
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)


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
