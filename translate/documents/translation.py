"""Translate the segments of a document with a function that translates lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from translate.documents.division import divide
from translate.documents.inline import Segment


def translate_segments(segments: Sequence[Segment], translate: Callable[[list[str]], list[str]]) -> list[list[str]]:
    """Translate the texts of segments; returns each translation, divided into the pieces of its segment.

    Texts without letters are unchanged. If a translation has lost or changed a kept part (a URL, a placeholder, code),
    the text is translated again without these, and they are inserted at their proportional positions.
    """
    pieces = [list(segment.pieces) for segment in segments]
    translatable = [index for index, segment in enumerate(segments) if segment.is_translatable]
    texts = [segments[index].text for index in translatable]
    translations = dict(zip(translatable, translate(texts), strict=True))
    damaged = [index for index in translatable if segments[index].find_kept(translations[index]) is None]
    # a blank line ends a document: these texts are no context of each other
    alone = [text for index in damaged for text in ("", segments[index].text_alone)]
    translations.update(zip(damaged, translate(alone)[1::2], strict=True))
    for index, translation in translations.items():
        pieces[index] = divide(segments[index], translation)
    return pieces
