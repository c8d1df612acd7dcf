"""Translate a test set and score it: one function for validation, final test and the evaluate command."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from translate.decoding.translator import Translation
from translate.evaluation.metrics import DEFAULT_TOKENIZER, Metric, Scores, score

GROUP_METRICS = 2  # so many of an evaluation's metrics are told of its groups, too
_LENGTH_EDGES = (10, 20, 30, 40, 60)
_WORD = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")


class Parallel(Protocol):
    """A test set: raw lines of both sides, and the labels of each pair if it has any."""

    name: str
    source: list[str]
    target: list[str]
    labels: list[list[str]] | None


class LinesTranslator(Protocol):
    """A Translator, or what shares its work out to several."""

    def translate(
        self, lines: Sequence[str], *, progress: Callable[[float], None] | None = None
    ) -> list[Translation]: ...


@dataclass(frozen=True, kw_only=True)
class Group:
    """The pairs of a test set that have a label or a source length in common; exact is a share, 0 to 1."""

    name: str
    size: int
    scores: Scores
    exact: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A test set's translations and what they are worth; lists are parallel, lines as they are in the files.

    scores        of the whole set
    exact         share of hypotheses that equal their reference, 0 to 1
    length_ratio  characters of hypotheses / of references
    by_length     groups by source length in words (characters of Chinese and Japanese)
    by_label      groups by label, largest first; a pair may be in several
    seconds       that translating took
    """

    name: str
    source: list[str]
    hypotheses: list[str]
    references: list[str]
    scores: Scores
    tokenize: str
    exact: float
    length_ratio: float
    by_length: list[Group]
    by_label: list[Group]
    seconds: float


def evaluate_corpus(
    translator: LinesTranslator,
    parallel: Parallel,
    *,
    metrics: Sequence[Metric] = (Metric.bleu, Metric.chrf),
    tokenize: str = DEFAULT_TOKENIZER,
    bootstrap: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Translate the raw source lines and score them against the raw references.

    bootstrap and progress are those of metrics.score and Translator.translate. Raises UserError when the
    sides differ in length or are empty.
    """
    start = time.monotonic()
    hypotheses = [translation.text for translation in translator.translate(parallel.source, progress=progress)]
    seconds = time.monotonic() - start
    references = parallel.target
    characters = sum(map(len, hypotheses)), sum(map(len, references))

    def group(name: str, places: Sequence[int]) -> Group:
        chosen = [hypotheses[i] for i in places], [references[i] for i in places]
        scores = score(*chosen, metrics=metrics[:GROUP_METRICS], tokenize=tokenize)
        return Group(name=name, size=len(places), scores=scores, exact=_exact(*chosen))

    return Evaluation(
        name=parallel.name,
        source=parallel.source,
        hypotheses=hypotheses,
        references=references,
        scores=score(hypotheses, references, metrics=metrics, tokenize=tokenize, bootstrap=bootstrap),
        tokenize=tokenize,
        exact=_exact(hypotheses, references),
        length_ratio=characters[0] / max(characters[1], 1),
        by_length=[group(name, places) for name, places in _length_groups(parallel.source).items()],
        by_label=[group(name, places) for name, places in _label_groups(parallel.labels or []).items()],
        seconds=seconds,
    )


def count_words(line: str) -> int:
    """Words between spaces; each Chinese or Japanese character is one."""
    return len(_WORD.findall(line))


def _exact(hypotheses: Iterable[str], references: Sequence[str]) -> float:
    pairs = zip(hypotheses, references, strict=True)
    return sum(hypothesis.strip() == reference.strip() for hypothesis, reference in pairs) / len(references)


def _length_groups(source: Sequence[str]) -> dict[str, list[int]]:
    """Places of the lines in each range of lengths, from short to long; ranges without lines are left out."""
    lowest = (0, *(edge + 1 for edge in _LENGTH_EDGES))
    names = [f"{low}–{high}" for low, high in zip(lowest, _LENGTH_EDGES, strict=False)] + [f"{lowest[-1]}+"]
    groups: dict[str, list[int]] = {name: [] for name in names}
    for place, line in enumerate(source):
        words = count_words(line)
        groups[names[sum(words > edge for edge in _LENGTH_EDGES)]].append(place)
    return {name: places for name, places in groups.items() if places}


def _label_groups(labels: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for place, names in enumerate(labels):
        for name in dict.fromkeys(names):
            if name:
                groups.setdefault(name, []).append(place)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))
