"""SRT: subtitles with their numbers and times; translations are wrapped into lines again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from translate.documents.document import DocumentOptions, decode
from translate.documents.inline import Segment, on_one_line
from translate.documents.wrapping import wrap
from translate.errors import UserError, excerpt, import_extra

_WIDTH = 42  # characters of a line, the usual limit of subtitles
_SPEAKER = re.compile(r"\n(?=[ \t]*[-–—])")  # a dialogue: each line with a dash is somebody's


class SubtitleDocument:
    """A segment for each subtitle, or for each speaker of one."""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        self._srt: Any = import_extra("srt", extra="documents", purpose=options.name)
        text, self._encoding = decode(content, options.name)
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        self._end = text[len(text.rstrip()) :]
        try:
            self._subtitles = list(self._srt.parse(text.replace("\r\n", "\n").replace("\r", "\n")))
        except (self._srt.SRTParseError, self._srt.TimestampParseError, ValueError, OverflowError) as error:
            raise UserError(f"{options.name}: not SRT subtitles: {excerpt(error)}") from None
        if not self._subtitles and text.strip():
            raise UserError(f"{options.name}: no subtitle is in it; is it SRT, with times such as 00:00:01,000 --> …?")
        self._turns = [_SPEAKER.split(subtitle.content) for subtitle in self._subtitles]
        self.segments = [Segment((turn,)) for turns in self._turns for turn in turns]

    def write(self, translations: Sequence[list[str]]) -> bytes:
        remaining = iter(translations)
        for subtitle, turns in zip(self._subtitles, self._turns, strict=True):
            subtitle.content = "\n".join(self._wrapped(turn, next(remaining)[0]) for turn in turns)
        # not reindexed: numbers stay, also missing and repeated ones
        text = self._srt.compose(self._subtitles, reindex=False, strict=False)
        return self._encoding.encode(text.rstrip("\n").replace("\n", self._line_end) + self._end)

    def _wrapped(self, source: str, translation: str) -> str:
        text = on_one_line(translation)
        if text == on_one_line(source):
            return source
        longest = max(map(len, source.split("\n")))
        return "\n".join(wrap(text, max(_WIDTH, longest), even=True))
