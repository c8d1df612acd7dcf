"""Translate the segments of a document with a function that translates lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from translate.documents.division import divide
from translate.documents.inline import Segment


def translate_segments(segments: Sequence[Segment], translate: Callable[[list[str]], list[str]]) -> list[list[str]]:
    """Translate the texts of segments; returns each translation, divided into the pieces of its segment."""
    translation = SegmentTranslation(segments)
    again = translation.find_damaged(translate(translation.texts))
    return translation.finish(translate(again))


class SegmentTranslation:
    """The translation of segments in two rounds, between which a caller translates lines.

    Texts without letters are unchanged. If a translation has lost or changed a kept part (a URL, a placeholder, code),
    the text is translated again without these, and they are inserted at their proportional positions.

    texts  of the first round
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._translatable = [index for index, segment in enumerate(segments) if segment.is_translatable]
        self.texts = [segments[index].text for index in self._translatable]
        self._translations: dict[int, str] = {}
        self._damaged: list[int] = []

    def find_damaged(self, translations: Sequence[str]) -> list[str]:
        """Note the translations of the texts; returns the texts of the second round."""
        self._translations = dict(zip(self._translatable, translations, strict=True))
        self._damaged = [
            index for index, text in self._translations.items() if self._segments[index].find_kept(text) is None
        ]
        # a blank line ends a document: these texts are no context of each other
        return [text for index in self._damaged for text in ("", self._segments[index].text_alone)]

    def finish(self, translations: Sequence[str]) -> list[list[str]]:
        """The pieces of all segments, given the translations of the second round."""
        self._translations.update(zip(self._damaged, translations[1::2], strict=True))
        pieces = [list(segment.pieces) for segment in self._segments]
        for index, translation in self._translations.items():
            pieces[index] = divide(self._segments[index], translation)
        return pieces
