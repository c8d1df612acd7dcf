"""engine=auto: CTranslate2 where it is installed and translates lines of the model's own test set like our engine."""

from __future__ import annotations

import logging
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path

from translate import __version__
from translate.decoding.config import DecodingConfig, EngineName
from translate.decoding.search.config import search_of
from translate.engines import load_translator
from translate.errors import UserError
from translate.exporting.lines_to_compare import lines_of_run
from translate.files import read_json, write_json
from translate.model_directory import (
    ONNX_DECODER,
    RUNTIME_MODEL,
    cache_folder,
    content_hash,
    read_manifest,
)

_LINES = 100
_LEAST_EQUAL = 0.99
logger = logging.getLogger(__name__)


def choose_engine(path: str, config: DecodingConfig) -> EngineName:
    """The engine for a model; of an export, the one that it is for.

    The comparison is made once for each content of a model, version and precision, and kept in the cache.
    """
    folder = Path(path)
    if (folder / RUNTIME_MODEL).is_file():
        return EngineName.ctranslate2
    if (folder / ONNX_DECODER).is_file():
        return EngineName.onnx
    if util.find_spec("ctranslate2") is None:
        return EngineName.native
    file = cache_folder() / "engines" / f"{_key(path, config)}.json"
    if file.is_file():
        share = float(read_json(file)["equal"])
    else:
        share = _share_of_equal(path, config)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, {"equal": share, "lines": _LINES})
        except OSError as error:  # it is compared again at the next start
            logger.warning("%s: %s", file, error.strerror)
    is_equal = share >= _LEAST_EQUAL
    logger.info("%s: CTranslate2 translates %.0f%% of its test lines as engine=native", path, 100 * share)
    return EngineName.ctranslate2 if is_equal else EngineName.native


def _key(path: str, config: DecodingConfig) -> str:
    """Name of the verdict: everything that may change it."""
    parts = content_hash(path)[:32], __version__, metadata.version("ctranslate2"), config.precision, config.device
    return "-".join(parts)


def _share_of_equal(path: str, config: DecodingConfig) -> float:
    """Share of lines that both engines translate alike; 0 without lines, and for models that CTranslate2 cannot run."""
    text = lines_of_run(Path(path))
    if text is None:
        return 0.0
    lines = text.source[:_LINES]
    search = search_of(read_manifest(Path(path))) or config.search
    found = []
    try:
        for engine in (EngineName.native, EngineName.ctranslate2):
            translator = load_translator(path, replace(config, engine=engine, search=search))
            found.append([translation.text for translation in translator.translate(lines)])
    except UserError as error:
        logger.info("%s: engine=native: %s", path, error)
        return 0.0
    return sum(one == other for one, other in zip(*found, strict=True)) / len(lines)
