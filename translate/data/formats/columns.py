"""Find the source and target columns of a table, or keys of records, by names and contents.

Columns without a header are numbered from 1; keys have a dot for each level (translation.de).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from translate.data.corpus import CorpusConfig
from translate.data.formats.language_names import language_of_name, same_language
from translate.errors import UserError, excerpt, shorten

_SOURCE_ROLES = {"source", "src", "input", "original"}
_TARGET_ROLES = {"target", "tgt", "trg", "output", "translation"}
_FILLERS = {"text", "sentence", "sentences", "segment", "string"}  # as in source_text
_MAX_LISTED = 20  # columns in an error
_LICENCES = re.compile(r"^(CC[ -]|CC0|https?://|www\.)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def find_columns(
    names: Sequence[str], sample: Sequence[Sequence[str]], config: CorpusConfig, path: str
) -> tuple[int, int]:
    """Indices of the source and the target column, from 0.

    names   column names; "" if a column has none
    sample  some rows of cells, in the order of the names; rows may be shorter

    Raises UserError with a list of the columns if names and contents do not determine the two.
    """
    wanted = config.source_language, config.target_language
    found = _by_language(names, wanted) or _by_role(names) or _by_any_language(names, wanted, path)
    if found:
        return found
    texts = [index for index in range(len(names)) if _is_text([row[index] for row in sample if index < len(row)])]
    if len(texts) != 2:
        raise UserError(
            f"{path}: {len(texts)} of its columns contain text, so source and target are ambiguous: set source= and "
            f"target= to two of {describe_columns(names, sample)}"
        )
    return texts[0], texts[1]


def describe_columns(names: Sequence[str], sample: Sequence[Sequence[str]]) -> str:
    """List the columns for an error: by name, or by number with an example."""
    if any(names):
        listing = ", ".join(name or str(number) for number, name in enumerate(names[:_MAX_LISTED], start=1))
    else:
        cells = [next((row[index] for row in sample if index < len(row)), "") for index in range(len(names))]
        listing = ", ".join(
            f"{number} ({shorten(cell, 40)})" for number, cell in enumerate(cells[:_MAX_LISTED], start=1)
        )
    return excerpt(listing) + (" …" if len(names) > _MAX_LISTED else "")


def are_names(cells: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """True if the first line of a table is a header.

    It is one if two of its cells name languages or sides, or if all cells are identifiers and most rows below have text
    of several words.
    """
    languages = {language for cell in cells if (language := language_of_name(cell))}
    if len(languages) > 1 or _by_role(cells):
        return True
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not filled or not all(re.fullmatch(r"[a-z][a-z0-9]*([_.-][a-z0-9]+)*", cell.lower()) for cell in filled):
        return False
    several = sum(any(" " in cell.strip() for cell in row) for row in rows)
    return bool(rows) and several >= 0.8 * len(rows)


def _by_language(names: Sequence[str], wanted: tuple[str, str]) -> tuple[int, int] | None:
    """Columns named by the source and the target language of the configuration."""
    found = []
    for language in filter(None, wanted):
        spellings = {language.lower(), language_of_name(language)}
        exact = [index for index, name in enumerate(names) if _last_part(name).lower() in spellings]
        having = exact or [index for index, name in enumerate(names) if same_language(name, language)]
        if len(having) == 1:
            found += having
    return (found[0], found[1]) if len(set(found)) == 2 else None


def _by_role(names: Sequence[str]) -> tuple[int, int] | None:
    """Columns named source and target, or by similar words."""
    found = []
    for roles in (_SOURCE_ROLES, _TARGET_ROLES):
        words = [set(re.findall(r"[^\W_]+", _last_part(name).lower())) for name in names]
        matching = [index for index, parts in enumerate(words) if parts & roles and parts <= roles | _FILLERS]
        if len(matching) != 1:
            return None
        found += matching
    return found[0], found[1]


def _by_any_language(names: Sequence[str], wanted: tuple[str, str], path: str) -> tuple[int, int] | None:
    """The only two columns named by languages, in their order.

    Raises UserError if there are more, or if none of them is a language of the configuration.
    """
    languages = {index: language for index, name in enumerate(names) if (language := language_of_name(name))}
    if not languages:
        return None
    named = set(languages.values())
    listing = ", ".join(excerpt(names[index]) for index in languages)
    missing = [language for language in filter(None, wanted) if not any(same_language(x, language) for x in named)]
    if missing and len(named) > 1:
        raise UserError(
            f"{path}: no column for {' and '.join(missing)} (data.source_language, data.target_language), only "
            f"{listing}; set source= and target= to two of them"
        )
    if len(languages) > 2:
        raise UserError(
            f"{path} has columns in {len(languages)} languages ({listing}): choose by data.source_language and "
            "data.target_language, or set source= and target= to two of them"
        )
    if len(languages) < 2 or len(named) < 2:
        return None
    first, second = languages
    is_reversed = same_language(languages[second], wanted[0]) or same_language(languages[first], wanted[1])
    return (second, first) if is_reversed else (first, second)


def _last_part(name: str) -> str:
    return name.strip().rpartition(".")[2].strip()


def _is_text(cells: Sequence[str]) -> bool:
    """True if most cells are text: not numbers, identifiers, licences or the few values of a category."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    if 2 * len(filled) < len(cells) or not filled:
        return False
    texts = [cell for cell in filled if _WORD.search(cell) and not _LICENCES.match(cell)]
    # an identifier mixes digits into one word; other scripts than Latin may have no spaces
    words = [cell for cell in texts if " " in cell or not cell.isascii() or not re.search(r"\d", cell)]
    is_category = len(filled) >= 10 and len(set(filled)) <= max(1, len(filled) // 10)
    return 2 * len(words) > len(filled) and not is_category
