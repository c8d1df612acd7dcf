"""engine=auto: CTranslate2 where it is installed and translates lines of the model's own test set like our engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from importlib import metadata, util
from pathlib import Path

from translate import __version__
from translate.decoding.config import DecodingConfig, EngineName
from translate.errors import UserError
from translate.exporting.lines_to_compare import lines_of_run
from translate.files import read_json, write_json
from translate.locks import ProcessLock
from translate.model_directory import ONNX_DECODER, RUNTIME_MODEL, cache_folder, content_hash

Translate = Callable[[EngineName, Sequence[str]], list[str]]
_LINES = 100
_LEAST_EQUAL = 0.99
logger = logging.getLogger(__name__)


def choose_engine(path: str, config: DecodingConfig, *, beam_size: int, translate: Translate) -> EngineName:
    """The engine for a model; of an export, the one that it is for.

    translate  translations of lines by an engine; called where the cache does not know yet if both translate alike
    """
    folder = Path(path)
    if (folder / RUNTIME_MODEL).is_file():
        return EngineName.ctranslate2
    if (folder / ONNX_DECODER).is_file():
        return EngineName.onnx
    if util.find_spec("ctranslate2") is None:
        return EngineName.native
    text = lines_of_run(folder)
    if text is None:
        logger.warning(
            "%s: engine=native, since its run's test set, to compare engines with, is not known; "
            "engine=ctranslate2 may be faster",
            path,
        )
        return EngineName.native
    share = _cached_share(
        cache_folder() / "engines" / f"{_key(path, config, beam_size)}.json",
        lambda: _share_of_equal(path, text.source[:_LINES], translate),
    )
    logger.info("%s: CTranslate2 translates %.0f%% of its test lines as engine=native", path, 100 * share)
    return EngineName.ctranslate2 if share >= _LEAST_EQUAL else EngineName.native


def _key(path: str, config: DecodingConfig, beam_size: int) -> str:
    """Name of the result: everything that may change it."""
    settings = config.precision, config.device, str(beam_size)
    return "-".join((content_hash(path)[:32], __version__, metadata.version("ctranslate2"), *settings))


def _cached_share(file: Path, compare: Callable[[], float]) -> float:
    """The result of a comparison, which is made once; a cache that cannot be written is done without."""
    with ExitStack() as stack:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(ProcessLock(file.parent / ".lock"))  # the processes of a model start together
        if file.is_file():
            return float(read_json(file)["equal"])
        share = compare()
        try:
            write_json(file, {"equal": share, "lines": _LINES})
        except OSError as error:
            logger.warning("%s: %s: the engines are compared again at the next start", file, error.strerror)
        return share


def _share_of_equal(path: str, lines: Sequence[str], translate: Translate) -> float:
    """Share of lines that both engines translate alike; 0 for a model that CTranslate2 cannot run."""
    try:
        native, other = (translate(engine, lines) for engine in (EngineName.native, EngineName.ctranslate2))
    except UserError as error:
        logger.info("%s: engine=native: %s", path, error)
        return 0.0
    return sum(one == two for one, two in zip(native, other, strict=True)) / len(lines)
