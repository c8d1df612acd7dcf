"""Segments of a document to their translations, by whatever translates lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from translate.documents.division import divide
from translate.documents.inline import Segment


def translate_segments(segments: Sequence[Segment], translate: Callable[[list[str]], list[str]]) -> list[list[str]]:
    """Translate the texts of segments; the pieces of each translation.

    A text without letters stays as it is. Where a translation has lost or changed what must stay (a URL, a variable,
    code), the text is translated again without it, and it is put where it stood in proportion.
    """
    pieces = [list(segment.pieces) for segment in segments]
    asked = [index for index, segment in enumerate(segments) if segment.is_translatable]
    found = dict(zip(asked, translate([segments[index].text for index in asked]), strict=True))
    changed = [index for index in asked if segments[index].find_kept(found[index]) is None]
    found.update(zip(changed, translate([segments[index].text_alone for index in changed]), strict=True))
    for index, translation in found.items():
        pieces[index] = divide(segments[index], translation)
    return pieces
