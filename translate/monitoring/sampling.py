"""A sample of translations for people to judge, drawn from the samples that a service keeps.

The service's file has an object for each request: {"time", "request", "model", "version", "source", "target" as in its
log, "lines": [{"text", "translation", "features"}]}, with texts redacted (redaction.py).
"""

from __future__ import annotations

import csv
import io
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from translate.errors import UserError
from translate.monitoring.features import LineFeatures
from translate.monitoring.json_lines import Reading, by_time, find_files, read_objects
from translate.monitoring.log import direction_of
from translate.output import write_output

COLUMNS = ("id", "direction", "source", "translation", "adequacy 1-5", "fluency 1-5", "error", "comment")
# what spreadsheet programs run as a formula, also behind spaces and in full width (OWASP, CSV injection)
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_NO_TEXT = str.maketrans(dict.fromkeys([*map(chr, range(32)), "\x7f", "\x85", "\u2028", "\u2029"], " "))


@dataclass(frozen=True)
class SampledLine:
    """A line and its translation; id: of its request, with the line's number in it."""

    id: str
    direction: str
    text: str
    translation: str
    features: LineFeatures


def read_samples(patterns: Sequence[str], *, last: int) -> list[SampledLine]:
    """The newest lines of files, given by paths or patterns. Raises UserError where there are none."""
    kept: deque[SampledLine] = deque(maxlen=last)
    for path in by_time(find_files(patterns, option="samples")):
        for value in read_objects(path, Reading()):
            kept.extend(_lines_of(value))
    if not kept:
        raise UserError(
            f"samples={', '.join(patterns)}: no translation there; name the file of samples of translate.serve"
        )
    return list(kept)


def _lines_of(entry: dict[str, Any]) -> Iterator[SampledLine]:
    """Lines of an object; none of one that is no entry of samples."""
    if not isinstance(lines := entry.get("lines"), list):
        return
    names = [entry.get(name) for name in ("request", "source", "target")]
    request, source, target = (name if isinstance(name, str) else "" for name in names)
    for number, line in enumerate(lines):
        try:
            text, translation = line["text"], line["translation"]
            features = LineFeatures.from_json(line["features"])
        except (KeyError, TypeError, ValueError):
            continue
        if isinstance(text, str) and isinstance(translation, str):
            yield SampledLine(f"{request}:{number}", direction_of(source, target), text, translation, features)


def draw(lines: Sequence[SampledLine], count: int, *, seed: int) -> list[SampledLine]:
    """Lines of any confidence, in random order: one of each of `count` equal parts, from the least confident on.

    A pair of texts counts once. As all parts are equally large, the mean of judgements is an estimate for all lines.
    """
    distinct = {(line.text, line.translation): line for line in lines if line.features.segments}
    ranked = sorted(distinct.values(), key=lambda line: (line.features.log_prob or 0.0, line.id))
    drawing = random.Random(seed)
    count = min(count, len(ranked))
    bounds = [len(ranked) * part // count for part in range(count + 1)] if count else []
    chosen = [drawing.choice(ranked[start:end]) for start, end in pairwise(bounds)]
    drawing.shuffle(chosen)
    return chosen


def write_sheet(path: Path, lines: Sequence[SampledLine]) -> None:
    """Write a table with columns to fill in: CSV by its name's end, else TSV. Raises UserError where that fails.

    Confidence is left out, so that it does not sway who judges; the log has it under the request's id.
    """
    is_csv = path.suffix.lower() == ".csv"
    sheet = io.StringIO()
    rows = csv.writer(sheet, delimiter="," if is_csv else "\t", lineterminator="\n")
    rows.writerow(COLUMNS)
    for line in lines:
        cells = map(_cell, (line.id, line.direction, line.text, line.translation))
        rows.writerow([*cells, *[""] * (len(COLUMNS) - 4)])
    # without the mark, Excel reads CSV in the encoding of its system
    text = f"\ufeff{sheet.getvalue()}" if is_csv else sheet.getvalue()
    write_output(path, text, option="sheet")


def _cell(text: str) -> str:
    """Text on one line without control characters, with a quote in front of what a spreadsheet program would run."""
    text = text.translate(_NO_TEXT)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
