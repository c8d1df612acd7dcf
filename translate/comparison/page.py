"""A comparison as one HTML page, which needs no other file, no script and no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from translate.comparison.entries import Entry
from translate.comparison.results import Comparison
from translate.comparison.score_gap import ScoreGap
from translate.comparison.systems import differing_settings
from translate.comparison.terminal import fact_rows, legend, signed
from translate.comparison.verdicts import validation_verdicts, verdicts
from translate.html_pages import render
from translate.unspaced_scripts import HAN_AND_KANA

_MOST_PIECES = 800  # of a line whose words are compared with the reference: that takes quadratic time
# a Chinese or Japanese character, spaces, or what is between them
_PIECES = re.compile(rf"[{HAN_AND_KANA}]|\s+|[^\s{HAN_AND_KANA}]+")

# embeddings, overrides and isolates, which would turn the text around them
_BIDI_CONTROLS = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


@dataclass(frozen=True)
class Mark:
    """A system's score in the picture, in percent of its width: the score, and its interval."""

    name: str
    text: str
    centre: float
    low: float
    high: float


def comparison_page(
    comparison: Comparison, left_out: Sequence[Entry], notes: Sequence[str], gaps: Sequence[ScoreGap] = ()
) -> str:
    """The page of a comparison; gaps: explanations of differences in BLEU."""
    systems = [each.system for each in comparison.systems]
    return render(
        "comparison.html.jinja",
        comparison=comparison,
        systems=systems,
        facts=fact_rows(systems, left_out),
        settings=differing_settings(systems),
        verdicts=[*verdicts(comparison), *validation_verdicts(left_out, comparison)],
        legend=legend(comparison),
        marks=_marks(comparison),
        left_out=left_out,
        notes=notes,
        gaps=gaps,
        signed=signed,
        marked_words=marked_words,
    )


def _marks(comparison: Comparison) -> list[Mark]:
    """Scores by the first metric, and their intervals, from the lowest bound to the highest."""
    scores = [next(iter(each.scores.values())) for each in comparison.systems]
    bounds = [(score.value - (score.interval or 0.0), score.value + (score.interval or 0.0)) for score in scores]
    lowest, highest = min(low for low, _ in bounds), max(high for _, high in bounds)
    scale = 100 / (highest - lowest) if highest > lowest else 0.0

    def position(value: float) -> float:
        return round((value - lowest) * scale, 2)

    return [
        Mark(each.system.name, score.rounded, position(score.value), position(low), position(high))
        for each, score, (low, high) in zip(comparison.systems, scores, bounds, strict=True)
    ]


def marked_words(text: str, reference: str) -> list[tuple[str, bool]]:
    """Parts of a translation in order, each with True if its words are not in the reference at that position."""
    text, reference = text.translate(_BIDI_CONTROLS), reference.translate(_BIDI_CONTROLS)
    words, others = _PIECES.findall(text), _PIECES.findall(reference)
    if max(len(words), len(others)) > _MOST_PIECES:
        return [(text, False)]
    matches = SequenceMatcher(None, words, others, autojunk=False).get_opcodes()
    return [("".join(words[start:end]), kind != "equal") for kind, start, end, *_ in matches if start < end]
