"""Segments of lines with the previous sentences of their document in front, for a model that was trained with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from translate.data.context import MOST_LINES, SEPARATOR, ContextWindow
from translate.decoding.segmentation import Segment
from translate.errors import UserError


def context_of(manifest: Mapping[str, Any]) -> int:
    """Number of previous sentences that a model reads. Raises UserError for more than any was trained with."""
    context: int = manifest.get("context", 0)
    if context > MOST_LINES:
        raise UserError(f"manifest.json: context ({context}): at most {MOST_LINES}; copy the model again")
    return context


@dataclass(frozen=True)
class ContextSplitting:
    """Split lines into segments, each behind up to `size` segments before it, of its line or of earlier ones.

    A blank line ends a document. A line that has its context already keeps it, for all of its segments.

    split       segments of a line with a tag in front and without context, given with its tokens
    encode      Tokenizer.encode_source
    max_tokens  of a segment with its context, whose earliest sentences are left out where there are more
    """

    size: int
    split: Callable[[str, list[int]], list[Segment]]
    encode: Callable[..., list[list[int]]]
    max_tokens: int

    def split_lines(self, lines: Sequence[tuple[str, str]]) -> list[list[Segment]]:
        """Segments of each line, given as tag and text; none of a blank one."""
        window = ContextWindow(self.size)
        return [list(self._segments(tag, text, window)) for tag, text in lines]

    def _segments(self, tag: str, text: str, window: ContextWindow) -> Iterator[Segment]:
        given, separator, current = text.rpartition(SEPARATOR)
        if not current.strip():
            window.context_of("")
            return
        line = current.strip()
        for segment in self.split(f"{tag} {line}" if tag else line, self._tokens(tag, line)):
            if not segment.text:  # a part of a character, which no context helps
                yield segment
                continue
            context = window.context_of(segment.text)
            yield self._in_context(segment, f"{given}{separator} " if separator else context, tag)

    def _in_context(self, segment: Segment, context: str, tag: str) -> Segment:
        """The segment behind as much of the context as there is room for."""
        # the earliest sentences matter least
        while len(tokens := self._tokens(tag, context + segment.text)) > self.max_tokens:
            if context.strip() == SEPARATOR:
                return segment  # it has no room even for the symbol: as the model reads it alone
            context = context.partition(f"{SEPARATOR} ")[2] or f"{SEPARATOR} "
        return replace(segment, tokens=tokens)

    def _tokens(self, tag: str, text: str) -> list[int]:
        return self.encode([text], tag=tag)[0]
