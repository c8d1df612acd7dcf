"""The package ctranslate2, an optional extra: imported by the functions that need it."""

from __future__ import annotations

from typing import Any

from translate.errors import UserError

RUNTIME_MODEL = "model.bin"  # how the runtime calls the weights
CHECKSUMS = "checksums.json"  # SHA-256 of every other file of an export
# all that an export holds, as patterns of names
EXPORTED_FILES = (
    RUNTIME_MODEL,
    CHECKSUMS,
    "config.json",
    "*vocabulary.*",
    "*tokenizer.model",
    "model.yaml",
    "manifest.json",
    "fingerprint",  # of earlier versions
)


def import_ctranslate2() -> Any:
    """The package; UserError with the command that installs it."""
    try:
        import ctranslate2
    except ImportError as error:
        raise UserError(
            f"CTranslate2 cannot be imported ({error}); it is an extra: pip install 'translate-seq2seq[ctranslate2]'"
        ) from None
    return ctranslate2
