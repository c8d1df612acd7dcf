"""Hard-wrapped plain text: paragraphs separated by blank lines, with line breaks where the next word does not fit.

A paragraph of full lines is one segment, and its translation is wrapped to the same width. Any other line is a separate
segment, so that headings, verse, lists and addresses keep their lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from translate.documents.document import DocumentOptions, decode
from translate.documents.inline import Segment
from translate.documents.wrapping import wrap

_MAX_WIDTH = 132  # columns of wrapped text
_FULL = 0.8  # share of inner lines that must be full
_MIN_FULL = 4  # lines


class TextDocument:
    """Paragraphs and single lines."""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        text, self._encoding = decode(content, options.name)
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        lines = text.split(self._line_end)
        self._width = _width(lines)
        self._blocks = [block for paragraph in _paragraphs(lines) for block in self._divided(paragraph)]
        self.segments = [Segment((" ".join(line.strip() for line in block),)) for block in self._blocks]

    def _divided(self, paragraph: list[str]) -> list[list[str]]:
        if len(paragraph) > 1 and _count_full(paragraph, self._width) >= _FULL * (len(paragraph) - 1):
            return [paragraph]
        return [[line] for line in paragraph]

    def write(self, translations: Sequence[list[str]]) -> bytes:
        lines: list[str] = []
        for block, (text,) in zip(self._blocks, translations, strict=True):
            indents = [line[: len(line) - len(line.lstrip())] for line in (block[0], block[-1])]
            wrapped = wrap(text.strip(), self._width - len(indents[1])) if len(block) > 1 else [text.strip()]
            lines += [indents[number > 0] + line for number, line in enumerate(wrapped or [""])]
        return self._encoding.encode(self._line_end.join(lines))


def is_wrapped(text: str) -> bool:
    """True for hard-wrapped text: paragraphs of full lines, into which the next word would not have fitted.

    Lines of a parallel corpus, lists and verse vary too much in length for that.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    width = _width(lines)
    paragraphs = [paragraph for paragraph in _paragraphs(lines) if paragraph[0].strip()]
    inner = sum(len(paragraph) - 1 for paragraph in paragraphs)
    full = sum(_count_full(paragraph, width) for paragraph in paragraphs)
    return len(paragraphs) > 1 and width <= _MAX_WIDTH and full >= max(_MIN_FULL, _FULL * inner)


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Runs of lines with text; each blank line is a separate paragraph."""
    runs = [(blank, list(run)) for blank, run in groupby(lines, lambda line: not line.strip())]
    return [part for blank, run in runs for part in ([[line] for line in run] if blank else [run])]


def _width(lines: list[str]) -> int:
    """Columns of the longest line that another one follows in its paragraph."""
    inner = (len(line) for line, following in pairwise(lines) if line.strip() and following.strip())
    return max(inner, default=_MAX_WIDTH)


def _count_full(paragraph: list[str], width: int) -> int:
    """Number of lines, the last left out, into which the first word of the next line would not have fitted."""
    return sum(len(line.rstrip()) + 1 + len(following.split()[0]) > width for line, following in pairwise(paragraph))
