"""The one way to a score: validation, the final test and the evaluate command all call evaluate_corpus."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from translate.data.prepare import ParallelText
from translate.decoding.search.config import describe_search
from translate.decoding.translation import Splits, Translation
from translate.decoding.translator import Translator
from translate.evaluation.metrics import METRICS, NormalisedScores, normalised_scores, score
from translate.evaluation.scores import MIN_RESAMPLES, MetricName, Scores
from translate.evaluation.tokenizers import DEFAULT_TOKENIZER
from translate.unspaced_scripts import HAN_AND_KANA

GROUP_METRICS = 2  # groups are scored by the first so many of an evaluation's metrics
_MANY_TABS = 0.5  # share of reference lines with a TAB above which TABs look like separators of alternatives
_MANY_EMPTY = 0.1  # share of empty translations that deserves a warning
_LENGTH_EDGES = (10, 20, 30, 40, 60)
_WORD = re.compile(rf"[{HAN_AND_KANA}]|[^\s{HAN_AND_KANA}]+")

References = Sequence[Sequence[str]]


class LinesTranslator(Protocol):
    """A Translator, or one on every process that takes its share of the lines."""

    def translate(
        self, lines: Sequence[str], *, progress: Callable[[float], None] | None = None
    ) -> list[Translation]: ...

    def describe(self, splits: Splits) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Group:
    """Scores of the pairs that have a label or a source length in common; exact is a share, 0 to 1."""

    name: str
    size: int
    scores: Scores
    exact: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A test set's translations and their scores; lists are parallel, lines as they are in the files.

    references    one list of lines or several
    scores        of the whole set
    exact         share of hypotheses that equal a reference, 0 to 1
    length_ratio  characters of hypotheses / of references; of several references, the closest in length
    by_length     groups by source length in words (characters of Chinese and Japanese)
    by_label      groups by label, largest first; a pair may be in several
    seconds       that translating took
    decoding      settings of the translations, name -> value: engine, precision, search, tag
    notes         for readers of the scores, a line each
    splits        counts of lines translated in parts
    translations  of the source lines; [] of given hypotheses
    """

    name: str
    source: list[str]
    hypotheses: list[str]
    references: list[list[str]]
    scores: Scores
    tokenize: str
    exact: float
    length_ratio: float
    by_length: list[Group]
    by_label: list[Group]
    seconds: float = 0.0
    decoding: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    splits: Splits = field(default_factory=Splits)
    translations: list[Translation] = field(default_factory=list, repr=False)

    @cached_property
    def normalised(self) -> NormalisedScores | None:
        """Scores with both sides in Unicode NFC; None if all lines are NFC already."""
        return normalised_scores(self.hypotheses, self.references, metrics=list(self.scores), tokenize=self.tokenize)

    @property
    def empty_note(self) -> str:
        """A warning if many translations have no text although their source has; "" otherwise."""
        texts = zip(self.source, self.hypotheses, strict=True)
        empty = sum(bool(source.strip()) and not hypothesis.strip() for source, hypothesis in texts)
        if empty < _MANY_EMPTY * len(self.hypotheses) or not empty:
            return ""
        return f"{empty:,} of {len(self.hypotheses):,} translations are empty"


def evaluate_corpus(
    translator: LinesTranslator,
    text: ParallelText,
    *,
    metrics: Sequence[MetricName] = (MetricName.bleu, MetricName.chrf),
    tokenize: str = DEFAULT_TOKENIZER,
    bootstrap: int = 0,
    progress: Callable[[float], None] | None = None,
    decoding: dict[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Translate the raw source lines and score them against the raw references.

    bootstrap and progress are those of metrics.score and Translator.translate; decoding and notes are part of the
    result, which adds its own notes. Raises UserError when the sides differ in length or are empty.
    """
    start = time.monotonic()
    translations = translator.translate(text.source, progress=progress)
    # before scoring, which is no part of the speed of translation
    seconds = time.monotonic() - start
    hypotheses, splits = [translation.text for translation in translations], Splits.of(translations)
    evaluation = score_corpus(hypotheses, text, metrics=metrics, tokenize=tokenize, bootstrap=bootstrap)
    return replace(
        evaluation,
        seconds=seconds,
        decoding=dict(decoding or {}),
        notes=[*notes, *filter(None, [translator.describe(splits)]), *evaluation.notes],
        splits=splits,
        translations=translations,
    )


def score_corpus(
    hypotheses: list[str], text: ParallelText, *, metrics: Sequence[MetricName], tokenize: str, bootstrap: int
) -> Evaluation:
    """Score translations of a test set, as a whole and in groups."""
    references = text.references

    def scored(groups: dict[str, list[int]]) -> list[Group]:
        return _score_groups(groups, hypotheses, references, metrics=metrics[:GROUP_METRICS], tokenize=tokenize)

    return Evaluation(
        name=text.name,
        source=text.source,
        hypotheses=hypotheses,
        references=references,
        scores=score(hypotheses, references, metrics=metrics, tokenize=tokenize, bootstrap=bootstrap),
        tokenize=tokenize,
        exact=_exact(hypotheses, references),
        length_ratio=_length_ratio(hypotheses, references),
        by_length=scored(group_by_length(text.source)),
        by_label=scored(group_by_label(text.labels or [])),
        notes=scoring_notes(references, metrics, bootstrap=bootstrap, hypotheses=hypotheses),
    )


def scoring_notes(
    references: References,
    metrics: Sequence[MetricName],
    *,
    bootstrap: int = 0,
    hypotheses: Sequence[str] = (),
) -> list[str]:
    """Reasons why scores are lower than a user may expect, or lack an interval, a line each."""
    notes = []
    if 0 < bootstrap < MIN_RESAMPLES:
        notes.append(f"bootstrap={bootstrap}: confidence intervals need at least {MIN_RESAMPLES} resamples")
    one_text = [metric.value for metric in metrics if not METRICS[metric].has_alternatives]
    tabs = max(sum("\t" in line.strip() for line in reference) / max(len(reference), 1) for reference in references)
    # a system that writes TABs itself means them as text
    if one_text and tabs > _MANY_TABS and not any("\t" in line for line in hypotheses):
        notes.append(
            f"{tabs:.0%} of the reference lines hold a TAB, which separates right answers for exact_match and f1 only: "
            f"{', '.join(one_text)} read each line as one long text; give several references as files of their own, "
            "reference=[FIRST,SECOND] (data.valid.target, data.test.target in training)"
        )
    return notes


def describe_decoding(translator: Translator, *, engine: str, tag: str) -> dict[str, str]:
    """Settings that translations depend on, name -> value, for Evaluation.decoding."""
    return {
        "engine": str(engine),
        "precision": str(translator.engine.precision),
        "search": describe_search(translator.search),
        "tag": tag or "none",
    }


def count_words(line: str) -> int:
    """Words between spaces; each Chinese or Japanese character is one."""
    return len(_WORD.findall(line))


def _score_groups(
    groups: dict[str, list[int]],
    hypotheses: Sequence[str],
    references: References,
    *,
    metrics: Sequence[MetricName],
    tokenize: str,
) -> list[Group]:
    """Score each group, which is a name and the indices of its lines."""
    scored = []
    for name, indices in groups.items():
        chosen = [hypotheses[i] for i in indices]
        chosen_references = [[reference[i] for i in indices] for reference in references]
        scores = score(chosen, chosen_references, metrics=metrics, tokenize=tokenize)
        scored.append(Group(name=name, size=len(indices), scores=scores, exact=_exact(chosen, chosen_references)))
    return scored


def _exact(hypotheses: Sequence[str], references: References) -> float:
    # spaces at the ends are not part of a translation
    sides = zip(hypotheses, *references, strict=True)
    return sum(hypothesis.strip() in map(str.strip, lines) for hypothesis, *lines in sides) / len(hypotheses)


def _length_ratio(hypotheses: Sequence[str], references: References) -> float:
    closest = 0
    for hypothesis, *lines in zip(hypotheses, *references, strict=True):
        # the carriage return of a Windows file is no text
        lengths = (len(line.removesuffix("\r")) for line in lines)
        # of two equally close ones the shorter, as BLEU's brevity penalty
        closest += min(lengths, key=lambda length: (abs(length - len(hypothesis)), length))
    return sum(map(len, hypotheses)) / max(closest, 1)


def group_by_length(source: Sequence[str]) -> dict[str, list[int]]:
    """Indices of the lines in each range of lengths, from short to long; ranges without lines are left out."""
    lowest = (0, *(edge + 1 for edge in _LENGTH_EDGES))
    names = [f"{low}–{high}" for low, high in zip(lowest, _LENGTH_EDGES, strict=False)] + [f"{lowest[-1]}+"]
    groups: dict[str, list[int]] = {name: [] for name in names}
    for index, line in enumerate(source):
        words = count_words(line)
        groups[names[sum(words > edge for edge in _LENGTH_EDGES)]].append(index)  # as many edges as it exceeds
    return {name: indices for name, indices in groups.items() if indices}


def group_by_label(labels: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Indices of the lines with each label, the most frequent label first."""
    groups: dict[str, list[int]] = {}
    for index, names in enumerate(labels):
        # a label given twice counts once
        for name in dict.fromkeys(names):
            groups.setdefault(name, []).append(index)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))
