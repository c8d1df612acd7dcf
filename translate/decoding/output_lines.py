"""Output formats of translated lines: text, n-best lists, JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from translate.decoding.translation import Translation
from translate.decoding.translator import Translator
from translate.text import Line


class OutputFormat(StrEnum):
    auto = "auto"
    text = "text"
    nbest = "nbest"
    json = "json"


def format_window(
    translator: Translator,
    window: Sequence[Line],
    translations: Sequence[Translation],
    output_format: OutputFormat,
    *,
    first: int,
) -> Iterator[bytes]:
    """Output for each line, of which the first has the number `first`; a text keeps the input's line end."""
    if output_format is OutputFormat.auto:
        output_format = OutputFormat.text if translator.search.returned == 1 else OutputFormat.nbest
    if output_format is OutputFormat.json:
        from translate.decoding.json_records import json_lines  # which takes long to import

        lines = [line.text for line in window]
        yield from (f"{record}\n".encode() for record in json_lines(translator, lines, translations, first=first))
        return
    for index, (translation, line) in enumerate(zip(translations, window, strict=True), start=first):
        if output_format is OutputFormat.text:
            yield f"{translation.text}{line.end}".encode()
        else:
            yield from (f"{index} ||| {text} ||| {score:.6f}\n".encode() for text, score in translation.n_best)
