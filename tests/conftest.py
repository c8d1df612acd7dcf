"""Facts that several test files share: where the real corpora are, on machines that have them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # as many test processes as cores: more threads than one each would wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"

_REPOSITORY = Path(__file__).parent.parent


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


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Commands that run in this process send the log to their own handlers: later tests read it as before."""
    logger = logging.getLogger("translate")
    level, handlers, propagate = logger.level, [*logger.handlers], logger.propagate
    yield
    logger.setLevel(level)
    logger.handlers, logger.propagate = handlers, propagate
