"""Synonyms of words, from a table of the user's or from a WordNet database."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from translate.errors import UserError, import_extra
from translate.text import normalise, read_lines

Synonyms = Callable[[str], Sequence[str]]  # of a word in small letters; none for most words

_CACHED_WORDS = 2**16


def read_synonyms(path: str) -> Synonyms:
    """Synonyms from a file of lines "word<TAB>synonym<TAB>synonym …", or from a folder with WordNet's files.

    Raises UserError for a file of another form, naming the line, and for a folder without WordNet's files.
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
        raise UserError(f"{path}: no synonyms in that file; write lines of a word, a TAB and its synonyms")
    return lambda word: table.get(word, ())


def _wordnet(folder: str) -> Synonyms:
    """The other words of a word's first, most frequent sense.

    Only a word as the dictionary has it: an inflected one would be replaced by a word without the inflection.
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
    """NLTK's reader of a folder. Raises UserError where the package or a file is missing."""
    data, module = (
        import_extra(name, extra="wordnet", purpose=f"WordNet ({folder})")
        for name in ("nltk.data", "nltk.corpus.reader.wordnet")
    )
    # NLTK reads below the folders of this list alone; the user has named this one
    if (root := str(Path(folder).resolve())) not in data.path:
        data.path.append(root)

    class Reader(module.WordNetCorpusReader):  # type: ignore[name-defined]
        def map_wn(self, version: str = "wordnet") -> None:
            """Leave out the map from the senses of NLTK's own copy, which need not be installed."""

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other languages, which have further files
            return Reader(root, None)
    except (OSError, ValueError, AssertionError, LookupError, module.WordNetError) as error:
        raise UserError(f"{folder}: not a folder of WordNet's files (data.noun, index.noun, …): {error}") from None
