"""The conversion of a model directory for CTranslate2: made once, kept inside it, made anew when the model changes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from translate.errors import UserError
from translate.exporting.ctranslate2_runtime import RUNTIME_MODEL, import_ctranslate2
from translate.model_directory import MANIFEST, MODEL, WEIGHTS, find_model, read_origin
from translate.tokenizer import Tokenizer

CONVERTER_VERSION = 2  # to be raised whenever the same model is converted to something else
KEPT = "ctranslate2"  # the folder of the conversion in a model directory
_FINGERPRINT = "fingerprint"


@dataclass(frozen=True, eq=False)
class ConvertedModel:
    """A model as the runtime reads it, and what belongs to it.

    max_length  tokens of a sentence that it can read or write, BOS and EOS not counted
    """

    directory: Path
    tokenizer: Tokenizer
    manifest: dict[str, Any]
    max_length: int
    temporary: tempfile.TemporaryDirectory[str] | None = None  # gone with the last who holds this


def converted_model(path: Path) -> ConvertedModel:
    """A folder that export_ctranslate2 has written, or the conversion of a model directory or of a run's best one.

    A conversion is kept inside the model directory, where that can be written, and made anew when the model has
    changed. Raises UserError for a model that is damaged or that the runtime cannot run.
    """
    import_ctranslate2()
    if (path / RUNTIME_MODEL).is_file():
        return _read(path)
    model_directory = find_model(path)
    fingerprint, kept = _fingerprint(model_directory), model_directory / KEPT
    if _is_current(kept, fingerprint):
        return _read(kept)
    if not os.access(model_directory, os.W_OK):
        temporary = tempfile.TemporaryDirectory(prefix="ctranslate2-")
        directory = Path(temporary.name) / KEPT
        _convert(model_directory, directory)
        return _read(directory, temporary)
    with _alone_in(model_directory):
        if not _is_current(kept, fingerprint):
            _convert(model_directory, kept)
            (kept / _FINGERPRINT).write_text(fingerprint, encoding="ascii")
    return _read(kept)


def _convert(model_directory: Path, directory: Path) -> None:
    import torch  # here alone: a model that has been converted needs no PyTorch

    from translate.checkpoint import load_model
    from translate.exporting.ctranslate2 import export_ctranslate2

    export_ctranslate2(load_model(model_directory, device=torch.device("cpu")), directory)


def _fingerprint(model_directory: Path) -> str:
    """Of all that a conversion is made from."""
    digest = hashlib.sha256(f"converter {CONVERTER_VERSION}".encode())
    names = [WEIGHTS, MODEL, MANIFEST, *sorted(path.name for path in model_directory.glob("*tokenizer.model"))]
    for name in names:
        with open(model_directory / name, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _is_current(directory: Path, fingerprint: str) -> bool:
    try:
        return (directory / _FINGERPRINT).read_text(encoding="ascii") == fingerprint
    except OSError:
        return False


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """One process at a time: several may begin with the same model together."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(directory: Path, temporary: tempfile.TemporaryDirectory[str] | None = None) -> ConvertedModel:
    for name in (MODEL, MANIFEST):
        if not (directory / name).is_file():
            raise UserError(f"{directory}: {name} is missing, which export writes beside {RUNTIME_MODEL}")
    tokenizer, manifest = read_origin(directory)
    return ConvertedModel(directory, tokenizer, manifest, _max_length(directory / MODEL), temporary)


def _max_length(path: Path) -> int:
    """Of the model's configuration, which was checked when the model was converted, only what is needed here."""
    try:
        return int(yaml.safe_load(path.read_text(encoding="utf-8"))["max_length"])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a model configuration: {error}") from None
