"""Facts that several test files share: where the real corpora are, on machines that have them."""

from __future__ import annotations

import gc
import logging
import os
from pathlib import Path

import pytest

# Tests compare with what a CPU computes, and fork. GPUs have checks of their own: `make gpu-check`
os.environ["CUDA_VISIBLE_DEVICES"] = ""
if "PYTEST_XDIST_WORKER" in os.environ:
    # as many test processes as cores: more threads than one each would wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"

_REPOSITORY = Path(__file__).parent.parent


def pytest_collectstart() -> None:
    """Collect no garbage while test modules are imported: what they import stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exempt what has been imported from garbage collections, each of which would look at it again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def corpora_root() -> Path:
    """The folder of real corpora: $TRANSLATE_DATA, or shared/data beside the repository."""
    root = Path(os.environ.get("TRANSLATE_DATA", _REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real corpora in {root}; set TRANSLATE_DATA")
    return root


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Conversions of models are kept beside the other files of the tests, not in the home folder."""
    os.environ["TRANSLATE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def first_backward_pass() -> None:
    """With PyTorch for CUDA, one after FakeTensorMode, which pretends to have a GPU, would exclude forks."""
    import torch  # it reads the number of threads, which is set above

    torch.ones(1, requires_grad=True).sum().backward()


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    """Commands that ran in this process, also for fixtures of modules, have sent the log to their own handlers."""
    logger = logging.getLogger("translate")
    logger.setLevel(logging.NOTSET)
    logger.handlers, logger.propagate = [], True
