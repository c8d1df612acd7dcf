"""Wrap text to a width, for subtitles and hard-wrapped paragraphs."""

from __future__ import annotations

import re

from translate.unspaced_scripts import HAN_AND_KANA, RARE_HAN

_TAG = r"<[^<>]*>|\{\\[^{}]*\}"
# Chinese and Japanese have no spaces: a line may break after any character, except before a closing mark
_WIDE = HAN_AND_KANA + RARE_HAN
_UNIT = re.compile(rf"(?:{_TAG})*[{_WIDE}](?:{_TAG}|[、。，．！？：；）」』】〉》])*|(?:{_TAG}|[^\s{_WIDE}])+")
_TAGS = re.compile(_TAG)


def wrap(text: str, width: int, *, even: bool = False) -> list[str]:
    """Wrap a text into as few lines as possible; tags such as <i> have no width.

    width  characters per line; a single word may be longer
    even   make the lines nearly equal in length
    """
    units, end = [], 0
    for found in _UNIT.finditer(text):
        units.append((found[0], len(_TAGS.sub("", found[0])), found.start() > end))
        end = found.end()
    lines = _fill(units, width)
    if even and len(lines) > 1:
        # binary search for the smallest width that needs no more lines
        least, most = 1, width
        while least < most:
            middle = (least + most) // 2
            least, most = (least, middle) if len(_fill(units, middle)) == len(lines) else (middle + 1, most)
        lines = _fill(units, least)
    return lines


def _fill(units: list[tuple[str, int, bool]], width: int) -> list[str]:
    """Lines of units (text, width, space in front), each filled as far as possible."""
    lines: list[str] = []
    used = 0
    for text, length, spaced in units:
        if lines and used + spaced + length <= width:
            lines[-1] += " " * spaced + text
            used += spaced + length
        else:
            lines.append(text)
            used = length
    return lines
