"""Groups of lines, and lines that a system translates better or worse than the baseline."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from translate.comparison.entries import Entry
from translate.comparison.results import Example, GroupScores, ScoredSystem, SharedTest, SystemScore
from translate.evaluation.metrics import sentence_statistics
from translate.evaluation.scores import Lines, MetricName, Statistics


def score_groups(measured: Sequence[Sequence[Statistics]], groups: Mapping[str, Sequence[int]]) -> list[GroupScores]:
    """Scores of all systems by one metric on each group, which is a name and the indices of its lines."""
    return [
        GroupScores(
            name=name,
            lines=len(lines),
            values=[statistics.fmean(each.value(lines) for each in own) for own in measured],
        )
        for name, lines in groups.items()
    ]


def compare_lines(
    compared: Sequence[ScoredSystem],
    test: SharedTest,
    *,
    examples: int,
    chrf: Sequence[Sequence[Statistics]] | None = None,
) -> list[ScoredSystem]:
    """The systems with the lines that differ most from the first, by sentence chrF.

    Of several seeds, the one whose score is nearest to their mean is shown: lines are translations of one model.

    chrf  of each entry of each system, if that is known already
    """
    if len(compared) == 1:
        return list(compared)  # nothing to compare with
    entries, values = [], []
    for number, each in enumerate(compared):
        typical = _typical_seed(next(iter(each.scores.values())))
        entry = each.system.entries[typical]
        counted = chrf[number][typical] if chrf else _chrf(entry.hypotheses, test.references)
        entries.append(entry)
        values.append(counted.line_values())
    return [
        compared[0],
        *(
            _with_examples(each, (entries[0], entry), (values[0], own), test, examples=examples)
            for each, entry, own in zip(compared[1:], entries[1:], values[1:], strict=True)
        ),
    ]


def _chrf(hypotheses: Lines, references: Sequence[Lines]) -> Statistics:
    return sentence_statistics(MetricName.chrf, hypotheses, references)


def _typical_seed(score: SystemScore) -> int:
    """Index of the seed whose score is nearest to the mean."""
    distances = [abs(value - score.value) for value in score.values]
    return distances.index(min(distances))


def _with_examples(
    compared: ScoredSystem,
    entries: tuple[Entry, Entry],
    values: tuple[Sequence[float], Sequence[float]],
    test: SharedTest,
    *,
    examples: int,
) -> ScoredSystem:
    """The system with its largest wins and losses; entries and values are the baseline's and its own."""
    # chrF, since BLEU of a sentence is 0 without a 4-gram in common, and would order most lines by chance
    gains = [own - before for before, own in zip(*values, strict=True)]
    # equal gains in the order of the lines, so that the same comparison shows the same examples
    order = sorted(range(len(gains)), key=lambda index: (gains[index], index))

    def example(index: int) -> Example:
        return Example(
            number=index + 1,
            source=test.source.source[index] if test.source else "",
            reference=test.references[0][index],
            baseline=entries[0].hypotheses[index],
            hypothesis=entries[1].hypotheses[index],
            baseline_score=values[0][index],
            score=values[1][index],
        )

    return replace(
        compared,
        wins=[example(index) for index in order[::-1][:examples] if gains[index] > 0],
        losses=[example(index) for index in order[:examples] if gains[index] < 0],
        num_equal=sum(first == second for first, second in zip(*(each.hypotheses for each in entries), strict=True)),
        num_better=sum(gain > 0 for gain in gains),
        num_worse=sum(gain < 0 for gain in gains),
    )
