"""Sentences that say how systems differ, and if the difference is significant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from translate.comparison.entries import Entry
from translate.comparison.results import Comparison, Difference, ScoredSystem, SystemScore, higher_is_better

LEVEL = 0.05  # of significance


@dataclass(frozen=True)
class Verdict:
    """A sentence: which system is better and if that is significant, then the figures that say so."""

    answer: str
    grounds: str = "."

    def __str__(self) -> str:
        return f"{self.answer}{self.grounds}"


def verdicts(comparison: Comparison) -> list[Verdict]:
    """The best of several systems, then each system beside the baseline, by the first metric.

    The other metrics are in brief at the end of each sentence.
    """
    compared = [_verdict(comparison, each) for each in comparison.systems[1:]]
    return [_best(comparison), *compared] if len(compared) > 1 else compared


def _best(comparison: Comparison) -> Verdict:
    metric, baseline = comparison.metrics[0], comparison.systems[0]
    best = (max if higher_is_better(metric) else min)(comparison.systems, key=lambda each: each.scores[metric].value)
    score = best.scores[metric]
    name, count = best.system.name, len(comparison.systems)
    answer = f"{name} has the best {score.name} of {count} systems, {score.rounded}"
    if best is not baseline:
        # of several seeds, any one stands for the system
        option = f"baseline={best.system.entries[0].name or best.system.entries[0].path}"
        return Verdict(answer, f"; differences below are from {baseline.system.name} ({option}: from this one).")
    p_values = [_difference(each.scores[metric]).adjusted for each in comparison.systems[1:]]
    known = [p for p in p_values if p is not None]
    if len(known) < len(p_values):
        return Verdict(answer)
    worse = sum(p <= LEVEL for p in known)
    others = f"{worse or 'none'} of the {count - 1} others {'are' if worse > 1 else 'is'} significantly worse"
    return Verdict(answer, f"; {others}.")


def _verdict(comparison: Comparison, compared: ScoredSystem) -> Verdict:
    metric, *others = comparison.metrics
    score, baseline = compared.scores[metric], comparison.systems[0].system.name
    difference = _difference(score)
    name = compared.system.name
    if difference.is_equal:
        return Verdict(f"{name} and {baseline} have the same {score.name} counts in every line: there is no difference")
    amount = _amount(difference.value)
    # "better by 0.00" would read as a contradiction
    if float(amount) == 0:
        sentence = f"{name} and {baseline} have equal {score.name}"
    else:
        direction = "better" if comparison.is_better(metric, difference.value) else "worse"
        sentence = f"{name} is {direction} than {baseline} by {amount} {score.name}"
    facts = [*_interval(difference), *_tests(comparison, compared, difference)]
    grounds = f" ({'; '.join(facts)})." if facts else "."
    if others:
        grounds += f" By {', '.join(_in_brief(compared.scores[other]) for other in others)}."
    return Verdict(sentence + _significance(difference), grounds)


def _difference(score: SystemScore) -> Difference:
    assert score.difference is not None, "every system but the first has one"
    return score.difference


def _amount(value: float) -> str:
    """Size of a difference, with as many decimals as it needs to be seen."""
    return f"{abs(value):.1f}" if abs(value) >= 0.05 else f"{abs(value):.2f}"


def _interval(difference: Difference) -> list[str]:
    if difference.interval is None:
        return []
    low, high = difference.interval.low, difference.interval.high
    # of the size, as the sentence gives it
    low, high = (-high, -low) if difference.value < 0 else (low, high)
    return [f"95 % interval {low:.1f} to {high:.1f}"]


def _tests(comparison: Comparison, compared: ScoredSystem, difference: Difference) -> list[str]:
    settings, found = comparison.settings, []
    if difference.p_randomization is not None and not difference.has_seeds:
        found.append(f"p = {difference.p_randomization:.4f} by approximate randomization, {settings.trials:,} trials")
    if difference.p_bootstrap is not None:
        kind = "bootstrap over lines and seeds" if difference.has_seeds else "paired bootstrap"
        found.append(f"p = {difference.p_bootstrap:.4f} by {kind}, {settings.resamples:,} resamples")
    comparisons = len(comparison.systems) - 1
    if difference.adjusted is not None and comparisons > 1:
        found.append(f"p = {difference.adjusted:.4f} by Holm's method for {comparisons} comparisons")
    single = [each.system for each in (compared, comparison.systems[0]) if len(each.system.entries) == 1]
    if difference.has_seeds and single:
        found.append(f"{single[0].name} has a single seed, and is assumed to vary as much as the other")
    return found


def _significance(difference: Difference) -> str:
    if difference.adjusted is None:
        return ": no test of significance was made"
    return f": the difference is {'' if difference.adjusted <= LEVEL else 'not '}significant at {LEVEL}"


def _in_brief(score: SystemScore) -> str:
    difference = _difference(score)
    p = difference.p_value
    return f"{score.name} {difference.value:+.1f}" + ("" if p is None else f", p = {p:.4f}")


def validation_verdicts(unfinished: Sequence[Entry], comparison: Comparison) -> list[Verdict]:
    """A sentence for each run without test scores that has the validation set of the baseline."""
    # the first seed stands for the settings of all; validation scores of different sets say nothing about each other
    baseline = comparison.systems[0].system
    metric, theirs = baseline.facts.validation_metric, baseline.facts.validation
    found = []
    for entry in unfinished:
        own = entry.facts.validation
        is_same = _validation_set(entry) == _validation_set(baseline.entries[0])
        if own is None or theirs is None or entry.facts.validation_metric != metric or not is_same:
            continue
        gain = own - theirs if higher_is_better(metric) else theirs - own
        answer = f"{entry.name or entry.path} has no test scores: by validation {metric}, {own:.2f}, it is "
        found.append(Verdict(f"{answer}{'better' if gain > 0 else 'not better'} than {baseline.name} ({theirs:.2f})"))
    return found


def _validation_set(entry: Entry) -> dict[str, object]:
    return {key: value for key, value in entry.settings.items() if key.startswith("data.valid.")}
