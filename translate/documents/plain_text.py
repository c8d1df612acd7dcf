"""Hard-wrapped plain text: paragraphs separated by blank lines, with line breaks where the next word does not fit.

A paragraph of full lines is one segment, and its translation is wrapped to the same width. Any other line is a separate
segment, so that headings, verse, lists and addresses keep their lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby, pairwise

from translate.documents.document import DocumentOptions, decode, split_lines
from translate.documents.inline import Segment
from translate.documents.wrapping import wrap

_MIN_WIDTH, _MAX_WIDTH = 30, 132  # columns of wrapped text
_FULL = 0.8  # share of inner lines that must be full
_MIN_FULL = 4  # lines
_INDENT = re.compile(r"\s*(?:>+[ \t]*)*")  # also marks of quoted mail


class TextDocument:
    """Paragraphs and single lines."""

    target_language = ""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        text, self._encoding = decode(content, options.name)
        ended = split_lines(text)
        lines, self._ends = [line for line, _ in ended], [end for _, end in ended]
        self._width = _width(lines)
        self._blocks = [block for paragraph in _paragraphs(lines) for block in self._divided(paragraph)]
        self.segments = [
            Segment((" ".join(_without_indent(line).strip() for line in block),)) for block in self._blocks
        ]

    def _divided(self, paragraph: list[str]) -> list[list[str]]:
        is_full = _count_full(paragraph, self._width) >= _FULL * (len(paragraph) - 1)
        if len(paragraph) > 1 and is_full and self._width >= _MIN_WIDTH:
            return [paragraph]
        return [[line] for line in paragraph]

    def write(self, translations: Sequence[list[str]]) -> bytes:
        output, position = list[str](), 0
        for block, segment, (text,) in zip(self._blocks, self.segments, translations, strict=True):
            ends = self._ends[position : position + len(block)]
            position += len(block)
            if text == segment.pieces[0]:
                output += map("".join, zip(block, ends, strict=True))
                continue
            indents = [line.removesuffix(_without_indent(line)) for line in (block[0], block[-1])]
            wrapped = wrap(text.strip(), self._width - len(indents[1])) if len(block) > 1 else [text.strip()]
            output.append(ends[0].join(indents[n > 0] + line for n, line in enumerate(wrapped or [""])) + ends[-1])
        return self._encoding.encode("".join(output))


def is_wrapped(text: str) -> bool:
    """True for hard-wrapped text: paragraphs of full lines, into which the next word would not have fitted.

    Lines of a parallel corpus, lists and verse vary too much in length for that.
    """
    lines = [line for line, _ in split_lines(text)]
    width = _width(lines)
    paragraphs = [paragraph for paragraph in _paragraphs(lines) if paragraph[0].strip()]
    inner = sum(len(paragraph) - 1 for paragraph in paragraphs)
    full = sum(_count_full(paragraph, width) for paragraph in paragraphs)
    return len(paragraphs) > 1 and width <= _MAX_WIDTH and full >= max(_MIN_FULL, _FULL * inner)


def _without_indent(line: str) -> str:
    found = _INDENT.match(line)
    return line[found.end() :] if found else line


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
