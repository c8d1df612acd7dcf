"""Models as CTranslate2 runs them: a model directory converted once, kept in the user's cache, and loaded.

The conversion is not kept in the model directory: one that came with a model from elsewhere need not be that model.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.checksums import finding
from translate.device import Device, Precision, gpu_of_process
from translate.errors import UserError
from translate.files import sha256
from translate.folders import building, remove_directory
from translate.model_directory import (
    CACHE,
    EXPORTED_FILES,
    MANIFEST,
    MODEL,
    RUNTIME_MODEL,
    WEIGHTS,
    cache_folder,
    find_model,
    import_ctranslate2,
    read_origin,
    verify_model,
)
from translate.parsing import read_yaml
from translate.tokenizer import Tokenizer

CONVERTER_VERSION = 4  # raise it when the same model is converted to something else: older conversions are made again
_PREFIX = "ctranslate2-"  # of a conversion's name, before its fingerprint
_NAME = re.compile(f"{_PREFIX}[0-9a-f]{{32}}")
_DAYS_KEPT = 90  # of a conversion without use

_COMPUTE_TYPES = {
    Precision.fp32: "float32",
    Precision.bf16: "bfloat16",
    Precision.fp16: "float16",
    Precision.int8: "int8",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ConvertedModel:
    """A folder with a model as the runtime reads it, its tokenizer and its manifest.

    max_length  tokens of a sentence that it can read or write, BOS and EOS not counted
    """

    directory: Path
    tokenizer: Tokenizer
    manifest: dict[str, Any]
    max_length: int
    temporary: tempfile.TemporaryDirectory[str] | None = None  # deleted with the last reference to this object


def converted_model(path: Path) -> ConvertedModel:
    """Open a folder that export_ctranslate2 has written, or convert a model directory or a run's best model.

    A conversion is kept in the cache where that can be written. Raises UserError for a model that is damaged or that
    the runtime cannot run.
    """
    import_ctranslate2()
    # beside weights a conversion is ignored: it may be of another model
    if (path / RUNTIME_MODEL).is_file() and not (path / WEIGHTS).exists():
        verify_model(path)
        return _read(path)
    model_directory = find_model(path)
    # named by content: a model that is trained again at the same path gets another folder
    kept = cache_folder() / f"{_PREFIX}{_fingerprint(model_directory, verify_model(model_directory))[:32]}"
    if not _is_writable(kept.parent) and finding(kept):
        logger.warning(f"{CACHE}: {kept.parent} cannot be written; the model is converted for this time only")
        temporary = tempfile.TemporaryDirectory(prefix="ctranslate2-")
        _convert(model_directory, Path(temporary.name) / "model")
        return _read(Path(temporary.name) / "model", temporary)
    with building(kept, option=CACHE, waiting_for="convert the same model") as folder:
        if folder is not None:
            _remove_unused(kept.parent)
            _convert(model_directory, folder)
    with suppress(OSError):  # a cache that others may only read
        os.utime(kept)  # the time of the last use
    return _read(kept)


def _remove_unused(cache: Path) -> None:
    """Remove conversions that were not used for long: every model that was ever translated with has one."""
    for kept in cache.glob(f"{_PREFIX}*"):
        days = (time.time() - kept.stat().st_mtime) / (24 * 3600)
        if days > _DAYS_KEPT and _NAME.fullmatch(kept.name):
            logger.info(f"{kept} is removed: not used for {days:.0f} days")
            remove_directory(kept, owned=EXPORTED_FILES)


def _is_writable(folder: Path) -> bool:
    if not folder.is_absolute() and not os.environ.get(CACHE):
        return False  # this user has no home folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _convert(model_directory: Path, directory: Path) -> None:
    import torch  # here alone: a model that has been converted needs no PyTorch

    from translate.checkpoint import load_model
    from translate.exporting.ctranslate2_converter import export_ctranslate2

    export_ctranslate2(load_model(model_directory, device=torch.device("cpu")), directory)


def _fingerprint(model_directory: Path, hashes: Mapping[str, str]) -> str:
    """SHA-256 of everything that a conversion is made from; hashes: SHA-256 of files, as far as they are known."""
    digest = hashlib.sha256(f"converter {CONVERTER_VERSION}".encode())
    # sorted, since file systems list names in any order
    names = [WEIGHTS, MODEL, MANIFEST, *sorted(path.name for path in model_directory.glob("*tokenizer.model"))]
    for name in names:
        digest.update(bytes.fromhex(hashes.get(name) or sha256(model_directory / name)))
    return digest.hexdigest()


def _read(directory: Path, temporary: tempfile.TemporaryDirectory[str] | None = None) -> ConvertedModel:
    for name in (MODEL, MANIFEST):
        if not (directory / name).is_file():
            raise UserError(f"{directory}: {name} is missing, which export writes beside {RUNTIME_MODEL}")
    tokenizer, manifest = read_origin(directory)
    return ConvertedModel(directory, tokenizer, manifest, _max_length(directory / MODEL), temporary)


def _max_length(path: Path) -> int:
    """The needed part of the model's configuration, which was checked when the model was converted."""
    content = read_yaml(path)
    try:
        return int(content["max_length"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: not a model configuration: no max_length") from None


def find_gpu(device: Device) -> int | None:
    """Index of the GPU that this process uses; None for the CPU. Raises UserError for device=cuda without a GPU."""
    num_gpus = import_ctranslate2().get_cuda_device_count()
    if device is Device.cuda and not num_gpus:
        raise UserError("device=cuda, but CTranslate2 finds no GPU here; use device=cpu or device=auto")
    return gpu_of_process(num_gpus) if num_gpus and device is not Device.cpu else None


def choose_compute_type(precision: Precision, *, on_gpu: bool) -> tuple[Precision, str]:
    """The precision in use, never auto, and CTranslate2's name of it.

    Raises UserError where the runtime would silently use another one.
    """
    names = import_ctranslate2().get_supported_compute_types("cuda" if on_gpu else "cpu")
    supported = [other for other, name in _COMPUTE_TYPES.items() if name in names]
    chosen = runtime_precision(precision, supported, on_gpu=on_gpu)
    return chosen, _COMPUTE_TYPES[chosen]


def load_runtime(converted: ConvertedModel, **settings: Any) -> Any:
    """Load a converted model as a ctranslate2.Translator. Raises UserError for damaged files."""
    try:
        return import_ctranslate2().Translator(str(converted.directory), **settings)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{converted.directory}: CTranslate2 cannot load the model: {error}") from None


def runtime_precision(precision: Precision, supported: Collection[Precision], *, on_gpu: bool) -> Precision:
    """Precision in which CTranslate2 decodes. Raises UserError for one that it would silently replace by another."""
    if precision is Precision.auto:
        preferred = (Precision.bf16, Precision.fp16) if on_gpu else ()
        return next((each for each in preferred if each in supported), Precision.fp32)
    # CTranslate2 itself would fall back without an error
    if precision not in supported:
        choices = ", ".join(other for other in Precision if other in supported)
        raise UserError(
            f"precision={precision}: CTranslate2 does not support it on this machine; it supports {choices}"
        )
    return precision
