"""SRT subtitles: numbers and times are unchanged, translations are wrapped into lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from translate.documents.document import DocumentOptions, decode, split_lines
from translate.documents.inline import Segment, without_extra_spaces
from translate.documents.wrapping import wrap
from translate.errors import UserError, excerpt

_WIDTH = 42  # characters of a line, the usual limit of subtitles
_TIME = r"\d{1,3}:\d{1,2}:\d{1,2}(?:[,.:]\d{1,3})?"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_BEGINS_TIMES = re.compile(r"\s*\d+:.*-->")  # other lines with an arrow are text
_SPEAKER = re.compile(r"\s*[-–—]\s*")  # in a dialogue, a line with a dash begins another speaker's turn


class SubtitleDocument:
    """A segment for each subtitle, or for each speaker of one."""

    target_language = ""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        text, self._encoding = decode(content, options.name)
        lines = split_lines(text)
        self._lines, self._ends = [line for line, _ in lines], [end for _, end in lines]
        self._require_times(options.name)
        self._turns = self._find_turns()
        # the last line of a file may have none
        self._line_end = next(filter(None, self._ends), "\n")
        self.segments = [Segment((self._spoken(start, end),)) for start, end in self._turns]

    def _spoken(self, start: int, end: int) -> str:
        """Text of a turn, without the dash in front, which models may lose."""
        first, *others = self._lines[start:end]
        return " ".join([first.removeprefix(_dash(first)), *others])

    def _require_times(self, name: str) -> None:
        is_found = False
        for number, line in enumerate(self._lines, start=1):
            if not _BEGINS_TIMES.match(line):
                continue
            if not _TIMES.fullmatch(line):
                raise UserError(
                    f"{name}, line {number}: {excerpt(line)!r} is not a line of times, such as "
                    "00:00:01,000 --> 00:00:02,500"
                )
            is_found = True
        if not is_found and any(line.strip() for line in self._lines):
            raise UserError(f"{name}: no line of times, such as 00:00:01,000 --> 00:00:02,500: is it SRT?")

    def _find_turns(self) -> list[tuple[int, int]]:
        """First line and end of each turn: a subtitle, or one speaker's lines in it."""
        turns: list[tuple[int, int]] = []
        is_inside = False  # of a subtitle's text
        for index, line in enumerate(self._lines):
            following = self._lines[index + 1 : index + 2]
            is_number = line.strip().isdecimal() and any(map(_BEGINS_TIMES.match, following))
            if not line.strip() or _BEGINS_TIMES.match(line) or is_number:
                is_inside = False
            elif is_inside and not _SPEAKER.match(line):
                turns[-1] = (turns[-1][0], index + 1)
            else:
                turns.append((index, index + 1))
                is_inside = True
        return turns

    def write(self, translations: Sequence[list[str]]) -> bytes:
        lines = list(map("".join, zip(self._lines, self._ends, strict=True)))
        for (start, end), (text,) in zip(self._turns, translations, strict=True):
            source, text = self._lines[start:end], without_extra_spaces(text)
            if text != without_extra_spaces(self._spoken(start, end)):
                # at the first of its lines, instead of all of them
                dash = _dash(source[0])
                wrapped = wrap(text, max(_WIDTH, *map(len, source)) - len(dash), even=True)
                joined = dash + (self._ends[start] or self._line_end).join(wrapped)
                lines[start:end] = [joined + self._ends[end - 1], *[""] * (end - start - 1)]
        return self._encoding.encode("".join(lines))


def _dash(line: str) -> str:
    """The dash and white space in front of a speaker's text; "" without a dash."""
    found = _SPEAKER.match(line)
    return found[0] if found else ""
