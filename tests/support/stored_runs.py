"""Short runs in the process of the tests, and what they leave in their folders."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch

from small_runs import composed, options
from translate.text import read_lines
from translate.train import train

SHORT = {"run__max_steps": 10, "run__save_every": 5, "validation__every": 5, "run__log_every": 1}
# a schedule that does not depend on where the run ends
FLAT = {"schedule__name": "inverse_sqrt", "schedule__warmup_steps": 4}
BLOWN_UP = {"optimizer__learning_rate": 1e30, "optimizer__clip_norm": 0, "schedule__warmup_steps": 0}


def train_here(corpus: Path, folder: Path, **changes: object) -> float | None:
    """Train for 10 updates unless changed; the metric of the best validation."""
    settings = {"averaging__last": 0, **SHORT, **changes}
    return train(composed(options(corpus, folder, **settings)))


def log_of(folder: Path) -> str:
    return "\n".join(read_lines(folder / "train.log"))


def states(folder: Path) -> list[str]:
    """Names of the saved states, oldest first."""
    return sorted(path.name for path in (folder / "state").glob("step-????????"))


def changes_of(folder: Path) -> list[dict[str, object]]:
    """Changes of settings that the manifest records."""
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("changes", [])


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    newest = sorted((folder / "state").glob("step-????????"))[-1]
    return safetensors.torch.load_file(newest / "weights.safetensors")


def assert_identical(one: Path, other: Path) -> None:
    """Compare the newest weights of two runs bit for bit."""
    ours, theirs = last_weights(one), last_weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
