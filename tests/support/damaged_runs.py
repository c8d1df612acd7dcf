"""A short run whose files are damaged, and ways to damage them."""

from __future__ import annotations

import shutil
from pathlib import Path

from small_runs import write_corpus
from stored_runs import FLAT, train_here

OPTIONS = {**FLAT, "averaging__last": 2, "averaging__ema_decay": 0.9}


def make_original(folder: Path) -> Path:
    """A run of 10 updates in folder/run, with states of 5 and 10 and a running average, on text in folder/corpus."""
    train_here(write_corpus(folder / "corpus", pairs=200), folder / "run", **OPTIONS)
    return folder / "run"


def copy_of(original: Path, folder: Path) -> Path:
    """A copy with an empty log."""
    shutil.copytree(original, folder)
    (folder / "train.log").unlink()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def cut(folder: Path) -> None:
    """Cut all files at 1,000 bytes."""
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:1000])


def flip(path: Path) -> None:
    """Change one bit; the size stays."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
