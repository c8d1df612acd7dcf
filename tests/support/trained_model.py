"""A model of a few updates, made once for the tests that only need one that translates."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from in_process import call_here
from small_runs import options, write_corpus


@cache
def trained_model() -> Path:
    """A run's folder; its corpus is beside it."""
    # a folder of this process, which is removed when it ends
    folder = Path(_FOLDER.name)
    corpus = write_corpus(folder / "corpus")
    changes = {"run__max_steps": 20, "validation__every": 20, "run__save_every": 20}
    process = call_here("train", *options(corpus, folder / "run", **changes))
    assert process.returncode == 0, process.stderr.decode()
    return folder / "run"


_FOLDER = tempfile.TemporaryDirectory(prefix="model-")
