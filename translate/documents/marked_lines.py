"""Lines with markup: tags, URLs, e-mail addresses, variables and a user's own patterns stay as they are.

Tags are hidden from the model and put back where their words went (division.py); the rest is read by the model, and put
back if the model has lost or changed it. Nothing of this depends on the engine, or on how the model was trained.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from translate.decoding.translation import BLANK, Translation
from translate.decoding.translator import Translator
from translate.documents.document import DocumentConfig
from translate.documents.inline import Kind, Segment
from translate.documents.translation import translate_segments
from translate.errors import UserError, excerpt
from translate.tags import Tagging
from translate.text import normalise


class TranslateLines(Protocol):
    """Translator.translate, or a function like it."""

    def __call__(
        self,
        lines: Sequence[str],
        *,
        previous: Sequence[str] = (),
        progress: Callable[[float], None] | None = None,
    ) -> list[Translation]: ...


def line_translation(translator: Translator, config: DocumentConfig) -> TranslateLines:
    """The function that translates lines and keeps their markup.

    Raises UserError for an invalid pattern, and for options that need each line translated once, in order.
    """
    if (count := translator.search.returned) > 1:
        raise UserError(f"{count} translations of a line: with markup or keep it has one, set search.n_best=1")
    if translator.context:
        raise UserError("markup and keep: the model reads lines before a line, which are not given to it then")
    for option, is_given in (
        ("constraints.prefixes", translator.constraints is not None and translator.constraints.has_prefixes),
        ("memory.report", translator.memory is not None and translator.memory.has_report),
    ):
        if is_given:
            raise UserError(f"{option} and markup or keep exclude each other: leave one out")
    return partial(
        translate_marked,
        translate=translator.translate,
        tagging=translator.tagging,
        keep=compile_patterns(config.keep),
    )


def compile_patterns(patterns: Sequence[str]) -> re.Pattern[str] | None:
    """One regular expression of several; None without any. Raises UserError for an invalid one."""
    for pattern in patterns:
        try:
            if re.compile(pattern).fullmatch(""):
                raise UserError(f"keep: {excerpt(pattern)} matches the empty text")
        except re.error as error:
            raise UserError(f"keep: {excerpt(pattern)} is no regular expression: {error}") from None
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


def translate_marked(
    lines: Sequence[str],
    *,
    translate: TranslateLines,
    tagging: Tagging,
    keep: re.Pattern[str] | None = None,
    previous: Sequence[str] = (),
    progress: Callable[[float], None] | None = None,
) -> list[Translation]:
    """Translate lines, keeping their markup; lines without any as they are.

    keep      further text that stays as it is
    previous  not used
    progress  of the lines without markup
    """
    marked: dict[str, dict[int, Segment]] = defaultdict(dict)  # lines with markup, by their tag
    for index, line in enumerate(lines):
        tag, text = tagging.split(normalise(line)) if tagging.known else ("", line)
        segment = _segment(text, keep)
        if any(part.kind is not Kind.text for part in segment.parts):
            marked[tag][index] = segment
    plain = [index for index in range(len(lines)) if not any(index in segments for segments in marked.values())]
    found = dict(zip(plain, translate([lines[index] for index in plain], progress=progress), strict=True))
    for tag, segments in marked.items():
        found |= zip(segments, _translate_segments(list(segments.values()), tag, translate), strict=True)
    return [found[index] for index in range(len(lines))]


def _segment(text: str, keep: re.Pattern[str] | None) -> Segment:
    """A line in pieces, of which those that match the pattern are kept."""
    if keep is None:
        return Segment((text,))
    pieces, kept, start = [], set(), 0
    for found in keep.finditer(text):
        if found[0]:
            pieces.append(text[start : found.start()])
            kept.add(len(pieces))
            pieces.append(found[0])
            start = found.end()
    return Segment((*pieces, text[start:]), frozenset(kept))


def _translate_segments(segments: Sequence[Segment], tag: str, translate: TranslateLines) -> list[Translation]:
    """Translations of segments of lines with one tag in front."""
    by_text: dict[str, Translation] = {}

    def translate_texts(texts: list[str]) -> list[str]:
        translations = translate([f"{tag} {text}" if tag else text for text in texts])
        by_text.update(zip(texts, translations, strict=True))
        return [translation.text for translation in translations]

    written = ["".join(pieces) for pieces in translate_segments(segments, translate_texts)]
    # a line without letters is not translated
    found = (by_text.get(segment.text, BLANK) for segment in segments)
    return [replace(each, text=text, n_best=[(text, each.score)]) for each, text in zip(found, written, strict=True)]
