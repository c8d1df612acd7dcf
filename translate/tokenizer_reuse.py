"""tokenizer.path: an existing vocabulary, of another run or program."""

from __future__ import annotations

from pathlib import Path

from translate.errors import UserError
from translate.files import read_json
from translate.text import TEXT_FORM, text_form_of
from translate.tokenizer import TOKENIZER_FILES, Tokenizer, read_model

_MANIFEST = "manifest.json"


def load_given(path: str) -> Tokenizer:
    """Load the tokenizer in the folder of a run or model, or a SentencePiece model shared by both sides.

    The tokenizer of a run or model normalises text as it did there. Raises UserError for a path without a tokenizer, a
    damaged one, and one whose special tokens have other ids than ours.
    """
    given = Path(path)
    if given.is_dir():
        for folder in (given, given / "best"):
            if any((folder / name).exists() for name in TOKENIZER_FILES):
                return Tokenizer.load(folder, text_form=_text_form(folder))
        raise UserError(f"tokenizer.path={path}: the folder contains none of {', '.join(TOKENIZER_FILES)}")
    if not given.exists():
        raise UserError(f"tokenizer.path={path}: no such file or folder")
    if given.name in TOKENIZER_FILES[1:]:
        raise UserError(f"tokenizer.path={path} is the vocabulary of one side: name its folder, to use both")
    text_form = _text_form(given.parent) if given.name in TOKENIZER_FILES else TEXT_FORM
    return Tokenizer(read_model(given), text_form=text_form)


def _text_form(folder: Path) -> int:
    """Version of the text form, from the manifest beside a tokenizer; the current version without a manifest."""
    manifest = folder / _MANIFEST
    return text_form_of(read_json(manifest)) if manifest.exists() else TEXT_FORM
