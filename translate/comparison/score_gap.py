"""Reasons why two BLEU figures of one output, or of nearly the same output, differ.

Both outputs and the references are changed step by step: Unicode form, quotation marks, spaces, case. By how much each
step brings the two figures together is the part of the difference that it explains; what is left is in the words. Other
settings of BLEU are then tried one at a time (Post 2018 shows how far they move a score).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from unicodedata import normalize

from sacrebleu.metrics import BLEU
from sacrebleu.metrics.bleu import BLEUScore

from translate.comparison.entries import Entry
from translate.comparison.results import Comparison
from translate.comparison.systems import NOT_SET, differing_settings
from translate.comparison.test_sets import References
from translate.evaluation.scores import Lines

_LEAST = 0.05  # points of BLEU that a reason must explain to be named
_MANY_SHIFTED = 0.5  # share of lines that are equal to the line before or after
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("–—‒―−", "-"),
        "…": "...",
    }
)
_BEFORE = re.compile(r"\s+([.,;:!?%)\]}»”])")
_AFTER = re.compile(r"([(\[{«„“])\s+")

# in this order, each on top of those before
TEXT_CHANGES: dict[str, Callable[[str], str]] = {
    "Unicode form (NFC)": lambda line: normalize("NFC", line),
    "compatibility characters (NFKC)": lambda line: normalize("NFKC", line),
    "spaces at punctuation, as in tokenized text": lambda line: _AFTER.sub(r"\1", _BEFORE.sub(r"\1", line)),
    "kinds of quotation marks and dashes": lambda line: line.translate(_PLAIN),
    "other spaces": lambda line: " ".join(line.split()),
    "upper and lower case": str.lower,
}
_TOKENIZERS = ("13a", "none", "intl", "char")
_SETTINGS: dict[str, dict[str, Any]] = {
    "smooth:none": {"smooth_method": "none"},
    "smooth:floor": {"smooth_method": "floor"},
    "smooth:add-k": {"smooth_method": "add-k"},
    "eff:yes (effective order)": {"effective_order": True},
    "case:lc (lower case)": {"lowercase": True},
}


@dataclass(frozen=True)
class Figures:
    """BLEU of two outputs after a change, or with another setting."""

    title: str
    first: float
    second: float

    @property
    def gap(self) -> float:
        return self.second - self.first


@dataclass(frozen=True)
class ScoreGap:
    """An explanation of the difference between a system's BLEU and the baseline's.

    steps     figures as they are, then after each change of the text, on top of those before
    settings  figures with other settings of BLEU
    findings  sentences
    """

    names: tuple[str, str]
    steps: list[Figures]
    settings: list[Figures]
    findings: list[str]


def explain_gaps(comparison: Comparison, left_out: Sequence[Entry]) -> list[ScoreGap]:
    """An explanation for each system beside the baseline, and for runs that have other references."""
    baseline = comparison.systems[0].system
    first, test = baseline.entries[0], comparison.test
    gaps = []
    for compared in comparison.systems[1:]:
        second = compared.system.entries[0]
        findings = _recorded(first, second) + _search(comparison, compared.system.name)
        names = baseline.name, compared.system.name
        gaps.append(explain_gap(names, first.hypotheses, second.hypotheses, test.references, test.tokenize, findings))
    # an entry that was left out for its references, not for its number of lines
    for entry in left_out:
        if entry.hypotheses and len(entry.hypotheses) == len(test.references[0]) and entry.references:
            own = _bleu(entry.hypotheses, entry.references, tokenize=test.tokenize)
            shared = _bleu(entry.hypotheses, test.references, tokenize=test.tokenize)
            findings = [
                f"{entry.path} has other references than {baseline.name}: its BLEU is {own.score:.2f} against its own, "
                f"and {shared.score:.2f} against those of {baseline.name}."
            ]
            names = baseline.name, str(entry.path)
            gaps.append(
                explain_gap(names, first.hypotheses, entry.hypotheses, test.references, test.tokenize, findings)
            )
    return gaps


def explain_gap(
    names: tuple[str, str],
    first: Lines,
    second: Lines,
    references: References,
    tokenize: str,
    findings: Sequence[str] = (),
) -> ScoreGap:
    """Explain the difference between the BLEU of two outputs of N lines; findings: what is known before."""
    scores = [_bleu(lines, references, tokenize=tokenize) for lines in (first, second)]
    steps = [Figures("as they are", scores[0].score, scores[1].score)]
    sides: list[list[str]] = [list(first), list(second), *map(list, references)]
    for title, change in TEXT_CHANGES.items():
        changed = [[change(line) for line in side] for side in sides]
        if changed != sides:
            # references are changed as well: what both outputs have in common with them stays comparable
            sides = changed
            figures = (_bleu(side, sides[2:], tokenize=tokenize).score for side in sides[:2])
            steps.append(Figures(title, *figures))
    settings = [
        Figures(f"tok:{name}", *(_bleu(lines, references, tokenize=name).score for lines in (first, second)))
        for name in _TOKENIZERS
        if name != tokenize
    ]
    for title, options in _SETTINGS.items():
        figures = (_bleu(lines, references, tokenize=tokenize, **options).score for lines in (first, second))
        settings.append(Figures(title, *figures))
    # an empty output has a penalty of 0
    without = [score.score / score.bp if score.bp else 0.0 for score in scores]
    settings.append(Figures("without brevity penalty", *without))
    found = [*_alignment(names, first, second), *findings, *_length(names, scores), *_reasons(names, steps)]
    return ScoreGap(names, steps, settings, found)


def _bleu(lines: Lines, references: References, *, tokenize: str, **options: Any) -> BLEUScore:
    return BLEU(tokenize=tokenize, force=True, **options).corpus_score(
        [line.rstrip() for line in lines], [[line.rstrip() for line in reference] for reference in references]
    )


def _reasons(names: tuple[str, str], steps: Sequence[Figures]) -> list[str]:
    """A sentence on the whole difference, one for each step that explains a part of it, and one on what is left."""
    total = steps[0].gap
    found = [f"{names[0]} has {steps[0].first:.2f} BLEU, {names[1]} {steps[0].second:.2f}: {total:+.2f}."]
    if abs(total) < _LEAST:
        return found
    for before, after in pairwise(steps):
        explained = before.gap - after.gap
        if abs(explained) >= _LEAST:
            found.append(f"{after.title}: {explained:+.2f} of these {total:+.2f} points.")
    rest = steps[-1].gap
    left = f"Other words, or another order: {rest:+.2f} points." if abs(rest) >= _LEAST else "Nothing else differs."
    return [*found, left]


def _length(names: tuple[str, str], scores: Sequence[BLEUScore]) -> list[str]:
    """A sentence on the brevity penalties if they differ."""
    first, second = scores
    lost = [score.score / score.bp - score.score if score.bp else 0.0 for score in scores]
    if abs(lost[0] - lost[1]) < _LEAST:
        return []
    sides = [
        f"{name} has {score.ratio:.3f} of the references' tokens (brevity penalty {score.bp:.3f}, {points:.2f} points)"
        for name, score, points in zip(names, (first, second), lost, strict=True)
    ]
    return [f"Length: {', '.join(sides)}."]


def _alignment(names: tuple[str, str], first: Lines, second: Lines) -> list[str]:
    """A sentence on lines that are equal, and on lines that are shifted."""
    count = len(first)
    equal = sum(map(str.__eq__, first, second))
    found = [f"{equal:,} of {count:,} lines are equal."]
    # a line that was lost or added moves all lines after it, and ruins BLEU
    for shift, (one, other) in {"before": (first, second[1:]), "after": (first[1:], second)}.items():
        shifted = sum(map(str.__eq__, one, other))
        if count > 2 and shifted > _MANY_SHIFTED * count and shifted > equal:
            position = f"equal the line {shift} theirs in {names[0]}"
            found.append(f"The lines of {names[1]} are shifted: {shifted:,} {position}.")
    return found


def _recorded(first: Entry, second: Entry) -> list[str]:
    """Sentences on scores that the reports record, where they were made in another way."""
    if not {"bleu"} <= first.scores.keys() & second.scores.keys() or first.tokenize == second.tokenize:
        return []
    sides = [f"{entry.path}: {entry.scores['bleu']:.2f} with tok:{entry.tokenize}" for entry in (first, second)]
    return [f"Their reports count by different tokenizers ({'; '.join(sides)}); here one counts both."]


def _search(comparison: Comparison, name: str) -> list[str]:
    """A sentence on each setting of decoding that differs between the baseline and a system."""
    chosen = comparison.systems[0].system.name, name
    systems = [each.system for each in comparison.systems if each.system.name in chosen]
    return [
        f"{setting}: {first} in {systems[0].name}, {second} in {name}."
        for setting, (first, second) in differing_settings(systems).items()
        if setting.startswith(("decoding.", "search.")) and NOT_SET not in (first, second)
    ]
