"""Synonyms of words, from the user's table or a WordNet database."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from translate.errors import UserError, import_extra
from translate.text import normalise, read_lines

Synonyms = Callable[[str], Sequence[str]]  # lower-case word -> its synonyms; empty for most words

_CACHED_WORDS = 2**16


def read_synonyms(path: str) -> Synonyms:
    """Read synonyms from a file of lines "word<TAB>synonym<TAB>synonym …", or from a folder of WordNet files.

    Raises UserError with the line of a malformed file, and for a folder without WordNet files.
    """
    if Path(path).is_dir():
        return _wordnet(path)
    table: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        word, *others = (normalise(cell).strip() for cell in line.split("\t"))
        if not word and not any(others):
            continue
        if not word or not any(others):
            raise UserError(f"{path}, line {number}: expected a word, a TAB and its synonyms, separated by TABs")
        known = table.setdefault(word.lower(), [])
        known += [other for other in others if other and other not in known]
    if not table:
        raise UserError(f"{path}: no synonyms; write lines of a word, a TAB and its synonyms, separated by TABs")
    return lambda word: table.get(word, ())


def _wordnet(folder: str) -> Synonyms:
    """Synonyms by WordNet: the other words of a word's first, most frequent sense.

    Inflected forms have none, since the synonym would lack the inflection.
    """
    wordnet = _open_wordnet(folder)

    @lru_cache(_CACHED_WORDS)
    def known(word: str) -> tuple[str, ...]:
        senses = [sense for sense in wordnet.synsets(word) if word in sense.lemma_names()]
        if not senses:
            return ()
        return tuple(name.replace("_", " ") for name in senses[0].lemma_names() if name.lower() != word)

    return known


def _open_wordnet(folder: str) -> Any:
    """NLTK's reader of a WordNet folder. Raises UserError if the package or a file is missing."""
    data, module = (
        import_extra(name, extra="wordnet", purpose=f"WordNet ({folder})")
        for name in ("nltk.data", "nltk.corpus.reader.wordnet")
    )
    # NLTK reads only below the folders in this list
    if (root := str(Path(folder).resolve())) not in data.path:
        data.path.append(root)

    class Reader(module.WordNetCorpusReader):  # type: ignore[name-defined]
        def map_wn(self, version: str = "wordnet") -> None:
            """Skip the sense map, which needs NLTK's own copy of WordNet."""

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about missing files of other languages
            return Reader(root, None)
    except (OSError, ValueError, AssertionError, LookupError, module.WordNetError) as error:
        raise UserError(f"{folder}: not a folder of WordNet's files (data.noun, index.noun, …): {error}") from None
