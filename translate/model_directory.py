"""Model directories without PyTorch: their files, finding them, reading their manifests.

weights.safetensors  model.yaml  tokenizer.model (or one per side)  truecase.json  manifest.json
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translate.checksums import CHECKSUMS, DamagedError, verify
from translate.errors import UserError, import_extra
from translate.files import read_json, sha256
from translate.parsing import from_plain
from translate.text import text_form_of
from translate.tokenizer import TOKENIZER_FILES, Tokenizer
from translate.truecasing import TRUECASE, Truecaser

WEIGHTS, MODEL, MANIFEST = "weights.safetensors", "model.yaml", "manifest.json"
MONITORING = "monitoring.json"  # numbers of known lines, with which translate.monitor compares
ADAPTER = "adapter.yaml"
LANGUAGE_TOKENS = "language_tokens"  # in the manifest: language -> id
# entries of the manifest that a model trained further keeps: its origin, and the published ids that it is exported with
IMPORTED = ("imported", "huggingface", LANGUAGE_TOKENS)
CACHE = "TRANSLATE_CACHE"  # the environment variable that names the cache of conversions
# all that this program puts into a model directory, as patterns of names; ctranslate2: of earlier versions
MODEL_FILES = (WEIGHTS, MODEL, ADAPTER, MANIFEST, *TOKENIZER_FILES, TRUECASE, MONITORING, "evaluation", "ctranslate2")


@dataclass(kw_only=True)
class _Entries:
    """The entries of a manifest that are used as they are, and their types; counts are not negative."""

    source_language: str = ""
    target_language: str = ""
    tags: list[str] = field(default_factory=list)
    tag: str = ""
    untagged_source: bool = True
    sentences_per_line: int = 0
    trained_tokens: int = 0
    bleu_tokenizer: str = ""
    step: int = 0
    context: int = 0
    reverse_target: bool = False
    averaged: list[str] = field(default_factory=list)


def load_manifest(path: Path) -> dict[str, Any]:
    """The content of a manifest.json. Raises UserError where it is damaged."""
    manifest = read_json(path)
    names = vars(_Entries())
    entries = from_plain(_Entries, {key: manifest[key] for key in names if key in manifest}, path)
    for key, value in vars(entries).items():
        if isinstance(value, int) and value < 0:
            raise UserError(f"{path}: {key} ({value}) must not be negative")
        if isinstance(value, list) and not all(isinstance(each, str) for each in value):
            raise UserError(f"{path}: {key} must be a list of texts")
    return manifest


def read_run_manifest(path: Path) -> dict[str, Any]:
    """A run's manifest.json. Raises UserError for a damaged one."""
    manifest = load_manifest(path)
    changes = manifest.get("changes", [])
    has_hashes = all(isinstance(manifest.get(key), str) for key in ("data", "tokenizer"))
    if not (has_hashes and isinstance(changes, list) and all(map(_is_change, changes))):
        raise UserError(f"{path} is damaged or not a run's manifest; bring it back, or choose another run.dir")
    return manifest


def _is_change(entry: Any) -> bool:
    """True for an entry that changes.with_changes has written."""
    return isinstance(entry, dict) and entry.keys() >= {"step", "key", "before", "now"}


def find_model(path: Path, *, option: str = "model") -> Path:
    """The model directory that a user's path means: itself, or best/ of a run's folder; option: for messages."""
    candidates = [path, path / "best"]
    for directory in candidates:
        if (directory / ADAPTER).exists():
            way = f"and adapter={path}" if option == "model" else "or merge both first (python -m translate.merge)"
            raise UserError(f"{option}={path} is an adapter of a model: set {option}= to that, {way}")
        # one of the two: a copy that was interrupted is reported by the files that it lacks
        if any((directory / name).exists() for name in (WEIGHTS, MODEL)):
            missing = [name for name in (WEIGHTS, MODEL, MANIFEST) if not (directory / name).is_file()]
            if missing == [WEIGHTS]:
                _refuse_export(directory, option=option)
            if missing:
                raise UserError(f"{directory}: not a complete model directory: it lacks {', '.join(missing)}")
            return directory
    if (path / _PUBLISHED).is_file():
        raise UserError(
            f"{option}={path} is in the format of transformers: python -m translate.convert model={path} output=… "
            "converts it"
        )
    found = "it has no finished model yet" if path.is_dir() else "no such folder"
    raise UserError(f"{option}={path}: {found} (looked for {WEIGHTS} in {' and '.join(map(str, candidates))})")


def _refuse_export(directory: Path, *, option: str) -> None:
    """Raise UserError for a folder that was exported for another engine."""
    for name, engine in ((RUNTIME_MODEL, "ctranslate2"), (ONNX_ENCODER, "onnx")):
        if (directory / name).is_file():
            raise UserError(
                f"{option}={directory}: that is an export, which engine={engine} reads; set that, or name the model "
                "that was exported"
            )


def find_adapter(path: Path) -> Path:
    """The adapter's directory that a user's path means: itself, or best/ of a run's folder."""
    for directory in (path, path / "best"):
        if (directory / ADAPTER).exists():
            missing = [name for name in (WEIGHTS, MANIFEST) if not (directory / name).is_file()]
            if missing:
                raise UserError(f"{directory}: not a complete adapter: it lacks {', '.join(missing)}")
            return directory
    raise UserError(f"adapter={path}: no adapter is there (looked for {ADAPTER} in {path} and {path / 'best'})")


def content_hash(models: str | Sequence[str], adapter: str = "") -> str:
    """SHA-256 of all files that decide what a model, or several together, translate, and of those of its adapter.

    models  paths as find_model takes them, or folders that were exported for another engine
    """
    directories = [find_model_or_export(Path(model)) for model in ([models] if isinstance(models, str) else models)]
    directories += [find_adapter(Path(adapter))] if adapter else []
    names = (WEIGHTS, RUNTIME_MODEL, ONNX_ENCODER, ONNX_DECODER, MODEL, ADAPTER, MANIFEST, *TOKENIZER_FILES, TRUECASE)
    files = [directory / name for directory in directories for name in names if (directory / name).is_file()]
    return hashlib.sha256("".join(f"{sha256(file)} {file.name}\n" for file in files).encode()).hexdigest()


def find_model_or_export(path: Path) -> Path:
    """A folder that was exported for another engine, or the model directory that a user's path means."""
    is_export = any((path / name).is_file() for name in (RUNTIME_MODEL, ONNX_DECODER))
    return path if is_export else find_model(path)


def read_truecaser(path: Path) -> Truecaser | None:
    """The usual case of words that a model has; None in those of earlier versions, and for a source without case.

    path  as find_model takes it, or a folder that was exported for another engine
    """
    file = find_model_or_export(path) / TRUECASE
    return Truecaser.load(file) if file.exists() else None


def verify_model(directory: Path) -> dict[str, str]:
    """SHA-256 of the files of a model, an adapter or an export, {} in those of earlier versions.

    Raises UserError for a file that is missing or not what was written.
    """
    try:
        return verify(directory)
    except DamagedError as error:
        raise UserError(
            f"{error}: copy it again; if you changed it on purpose, delete {directory / CHECKSUMS} to have it accepted"
        ) from None


def read_manifest(model: Path, adapter: Path | None = None) -> dict[str, Any]:
    """The manifest of a model, or of its adapter if one is given; {} where there is none.

    model  a path as find_model takes it, or a folder that was exported for another engine
    """
    for directory in [adapter, adapter / "best"] if adapter else [model, model / "best"]:
        is_whole = (directory / ADAPTER if adapter else directory / MODEL).is_file()
        if is_whole and (directory / MANIFEST).is_file():
            return load_manifest(directory / MANIFEST)
    return {}


def read_origin(directory: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer and the manifest beside a model's weights. Raises UserError if they do not belong together."""
    manifest = load_manifest(directory / MANIFEST)
    tokenizer = Tokenizer.load(
        directory, text_form=text_form_of(manifest), reverse_target=manifest.get("reverse_target", False)
    )
    # with other ids the model would still translate, into nonsense
    if manifest.get("tokenizer") != tokenizer.hash:
        raise UserError(
            f"{directory}: this tokenizer is not the one that the model was trained with "
            f"(hash {tokenizer.hash[:12]}, the manifest says {str(manifest.get('tokenizer'))[:12]})"
        )
    return tokenizer, manifest


_PUBLISHED = "config.json"  # of models in the format of transformers
RUNTIME_MODEL = "model.bin"  # how the runtime calls the weights
EXPORT_REPORT = "export.json"  # of translate.export: versions, and translations compared
# all that an export holds, as patterns of names
EXPORTED_FILES = (
    RUNTIME_MODEL,
    "config.json",
    "*vocabulary.*",
    "*tokenizer.model",
    "model.yaml",
    "manifest.json",
    TRUECASE,
    EXPORT_REPORT,
    MONITORING,
    "fingerprint",  # of earlier versions
)
# of Optimum, in whose terms their inputs and outputs are named
ONNX_ENCODER, ONNX_DECODER = "encoder_model.onnx", "decoder_with_past_model.onnx"
ONNX_JSON = "onnx.json"  # their inputs and outputs, and what a search needs to know


def import_ctranslate2() -> Any:
    """The package ctranslate2. Raises UserError with the command that installs it."""
    return import_extra("ctranslate2", extra="ctranslate2", purpose="CTranslate2")


def cache_folder() -> Path:
    """$TRANSLATE_CACHE, or translate-seq2seq in the user's cache (XDG Base Directory Specification)."""
    if os.environ.get(CACHE):
        return Path(os.environ[CACHE])
    # the specification has relative paths ignored
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "translate-seq2seq"


def copy_origin(model: Path, directory: Path) -> None:
    """Copy all files of a model directory except the weights, by which an export decodes lines as the model does."""
    for name in (MODEL, MANIFEST, TRUECASE, *TOKENIZER_FILES):
        if (model / name).exists():
            shutil.copyfile(model / name, directory / name)
