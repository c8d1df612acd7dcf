"""Segments of a document: text that is translated as a whole, in pieces separated by inline markup."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

_TAGS = r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}"  # the latter in subtitles, such as {\an8}
_URL = r"(?:https?://|ftp://|www\.)[^\s<>\"]*[^\s<>\".,;:!?)\]}'’”»]|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"
_VARIABLES = r"%(?:\(\w+\)|\d+\$)?[-+0#]*\d*(?:\.\d+)?l*[sdiufxXgeco@](?!\w)|\$?\{[\w.:,!-]*\}|%\w+%"
_CODES = re.compile(f"(?P<code>{_TAGS})|(?P<kept>{_URL}|{_VARIABLES})")
_MAX_KEPT = 200  # kept parts of a segment: searching for them takes quadratic time


class Kind(Enum):
    """text: translated; kept: read by the model, but unchanged; code: unchanged and hidden from the model."""

    text = "text"
    kept = "kept"
    code = "code"


@dataclass(frozen=True)
class Part:
    """A part of a piece; owner: index of the piece."""

    text: str
    kind: Kind
    owner: int

    @property
    def has_words(self) -> bool:
        return self.kind is Kind.text and not self.text.isspace()


@dataclass(frozen=True)
class Segment:
    """Text in pieces, with markup between them; kept: indices of pieces that are not translated."""

    pieces: tuple[str, ...]
    kept: frozenset[int] = frozenset()

    @cached_property
    def parts(self) -> list[Part]:
        """The pieces, split at tags, URLs, addresses and placeholders in their text; no part is empty."""
        parts = []
        for owner, piece in enumerate(self.pieces):
            if owner in self.kept:
                parts.append(Part(piece, Kind.kept if piece.strip() else Kind.code, owner))
                continue
            start = 0
            for found in _CODES.finditer(piece):
                parts.append(Part(piece[start : found.start()], Kind.text, owner))
                parts.append(Part(found[0], Kind.code if found["code"] else Kind.kept, owner))
                start = found.end()
            parts.append(Part(piece[start:], Kind.text, owner))
        return [part for part in parts if part.text]

    @cached_property
    def text(self) -> str:
        """The text for the model, on one line."""
        return without_extra_spaces("".join(part.text for part in self.parts if part.kind is not Kind.code))

    @property
    def text_alone(self) -> str:
        """The text without its kept parts."""
        return without_extra_spaces("".join(part.text if part.kind is Kind.text else " " for part in self.parts))

    @property
    def is_translatable(self) -> bool:
        """True if the text has a letter; numbers, punctuation, addresses and codes alone are not translated."""
        return any(character.isalpha() for part in self.parts if part.kind is Kind.text for character in part.text)

    def find_kept(self, translation: str) -> list[tuple[int, int]] | None:
        """Start and end of the kept parts in a translation.

        None unless all are there, in order and as often as in the text; also None if the translation has words between
        two kept parts, and the segment does not.
        """
        kept = [without_extra_spaces(part.text) for part in self.parts if part.kind is Kind.kept]
        if len(kept) > _MAX_KEPT or any(_count(word, translation) != _count(word, self.text) for word in set(kept)):
            return None
        spans, position = [], 0
        for word in kept:
            found = _as_word(word).search(translation, position)
            if found is None:
                return None
            spans.append(found.span())
            position = found.end()
        return spans if self._has_room(translation, spans) else None

    def _has_room(self, translation: str, spans: list[tuple[int, int]]) -> bool:
        """True if the segment has text wherever the translation has words: before, between and after the spans."""
        bounds = [0, *(position for span in spans for position in span), len(translation)]
        has_words = [bool(translation[start:end].strip()) for start, end in zip(bounds[::2], bounds[1::2], strict=True)]
        has_text = [False]
        for part in self.parts:
            if part.kind is Kind.kept:
                has_text.append(False)
            elif part.has_words:
                has_text[-1] = True
        return all(text or not words for text, words in zip(has_text, has_words, strict=True))


def line_segments(text: str) -> list[Segment]:
    """A segment for each line of a text, with its line break, since segments keep white space on both ends."""
    return [Segment((line,)) for line in re.split(r"(?<=\n)", text)]


def without_extra_spaces(text: str) -> str:
    """Collapse white space as markup languages do: one space for each run, none on both ends."""
    return " ".join(text.split())


def _as_word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)" if word[:1].isalnum() else re.escape(word))


def _count(word: str, text: str) -> int:
    return len(_as_word(word).findall(text))
