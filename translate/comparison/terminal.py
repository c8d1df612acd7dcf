"""A comparison as text for a terminal: tables that fit its width, sentences, and the lines that differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wcwidth import wcswidth

from translate.comparison.entries import Entry, Facts
from translate.comparison.results import (
    Comparison,
    Example,
    GroupScores,
    ScoredSystem,
    SystemScore,
    higher_is_better,
)
from translate.comparison.score_gap import ScoreGap
from translate.comparison.systems import System, differing_settings
from translate.comparison.tables import (
    LEAST_NAME,
    Rows,
    beginning,
    last_wrapped,
    shortened_names,
    table,
    width_of,
    wrapped,
)
from translate.comparison.verdicts import validation_verdicts, verdicts
from translate.console import text_table
from translate.errors import show_unprintable

_MOST_GROUPS = 12  # labels that are printed; the page has all


def comparison_text(
    comparison: Comparison,
    unfinished: Sequence[Entry],
    *,
    width: int | None,
    examples: int,
    gaps: Sequence[ScoreGap] = (),
) -> str:
    """Scores, verdicts, facts, settings, groups and lines, then the signatures.

    width     of the terminal; None: whatever the text needs
    examples  number of wins and of losses
    gaps      explanations of differences in BLEU
    """
    systems = [each.system for each in comparison.systems]
    parts = [f"{_score_table(comparison, width)}\n{wrapped(legend(comparison), width)}".rstrip()]
    parts += [wrapped(str(each), width) for each in verdicts(comparison)]
    parts += [wrapped(str(each), width) for each in validation_verdicts(unfinished, comparison)]
    if any(system.facts.status for system in systems) or unfinished:
        parts.append(table(fact_rows(systems, unfinished), width))
    parts += _settings(systems, width)
    parts += [_gap_text(gap, width) for gap in gaps]
    for title, groups in (("source words", comparison.by_length), ("label", comparison.by_label)):
        parts += [_group_table(comparison, title, groups, width)] if groups else []
    if chosen := _most_interesting(comparison):
        parts += list(_lines(comparison, chosen, width, examples))
    # equal for all systems, so that those of the first stand for all
    signatures = [f"{score.name}: {score.signature}" for score in comparison.systems[0].scores.values()]
    return "\n\n".join([*parts, "\n".join(signatures)])


def _score_table(comparison: Comparison, width: int | None) -> str:
    """A row for each system: scores, intervals, p-values; in a narrow terminal the latter have rows of their own."""
    header = ["", *(score.name for score in comparison.systems[0].scores.values())]
    rows, narrow = [header], [header]
    for compared in comparison.systems:
        scores = compared.scores.values()
        details = [_details(score) for score in scores]
        cells = [f"{score.rounded}  {', '.join(found)}".rstrip() for score, found in zip(scores, details, strict=True)]
        rows.append([compared.system.name, *cells])
        narrow.append([compared.system.name, *(score.rounded for score in scores)])
        narrow += [["", *map(", ".join, details)]] if any(details) else []
    return table(rows if width is None or width_of(rows) <= width else narrow, width)


def _details(score: SystemScore) -> list[str]:
    """Standard deviation over seeds, and the p-value that the verdict rests on."""
    spread = [] if score.spread is None else [f"sd {score.spread:.1f}"]
    p = None if score.difference is None else score.difference.p_value
    return spread if p is None else [*spread, f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"]


def legend(comparison: Comparison) -> str:
    """Meaning of what is beside the scores in a table; "" where there is nothing."""
    found, scores = [], [score for each in comparison.systems for score in each.scores.values()]
    has_seeds = any(score.spread is not None for score in scores)
    if any(score.interval is not None for score in scores):
        found.append("±: 95 % confidence interval" + (", of several seeds that of their mean" if has_seeds else ""))
    if has_seeds:
        found.append("sd: standard deviation over seeds")
    if any(score.difference is not None and score.difference.p_value is not None for score in scores):
        of_one = "" if len(comparison.systems) == 2 else ", not adjusted for the number of comparisons"
        found.append(f"p: of the difference from {comparison.systems[0].system.name}{of_one}")
    lower = [score.name for key, score in comparison.systems[0].scores.items() if not higher_is_better(key)]
    found += [f"lower {' and '.join(lower)} is better"] if lower else []
    return "; ".join(found)


def fact_rows(systems: Sequence[System], unfinished: Sequence[Entry]) -> Rows:
    """Header, then a row for each system and each run without test scores; empty columns are left out."""
    named = [(system.name, system.facts) for system in systems]
    named += [(entry.name or str(entry.path), entry.facts) for entry in unfinished]
    header = ["", "validation", "loss", "parameters", "lines/s", "training", "status"]
    rows = [header, *([name, *fact_cells(facts)] for name, facts in named)]
    # files have no facts at all, and a run at work lacks some
    used = [index for index in range(len(header)) if index == 0 or any(row[index] for row in rows[1:])]
    return [[row[index] for index in used] for row in rows]


def fact_cells(facts: Facts) -> list[str]:
    """Validation score, loss, parameters, speed, training time and status, "" for what is not known."""
    metric = "" if facts.validation_metric == "loss" else facts.validation_metric
    return [
        "" if facts.validation is None or not metric else f"{metric} {facts.validation:.1f}",
        "" if facts.validation_loss is None else f"{facts.validation_loss:.3f}",
        "" if facts.parameters is None else f"{facts.parameters:,}",
        "" if facts.lines_per_second is None else f"{facts.lines_per_second:,.0f}",
        "" if facts.seconds is None else duration(facts.seconds),
        facts.status,
    ]


def duration(seconds: float) -> str:
    """Time in the two largest units, such as 1 h 15 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _settings(systems: Sequence[System], width: int | None) -> list[str]:
    """The settings that differ: a column for each system where that fits, else a line for each value."""
    found = differing_settings(systems)
    if not found:
        return []
    names = [system.name for system in systems]
    rows = [["settings that differ", *names], *([name, *values] for name, values in found.items())]
    if width is None or width_of(rows) <= width:
        return [text_table(rows)]
    heading = f"settings that differ: all for {names[0]}, then for each other system those with another value"
    rows = []
    for number, name in enumerate(shortened_names(names, 24)):
        own = [f"{key}={values[number]}" for key, values in found.items() if not number or values[number] != values[0]]
        rows.append([name, ", ".join(own)])
    return [f"{wrapped(heading, width)}\n{text_table(last_wrapped(rows, width))}"]


def _group_table(comparison: Comparison, title: str, groups: Sequence[GroupScores], width: int | None) -> str:
    """Scores of each group, as many systems as fit, the baseline first; differences from it in brackets."""
    metric = comparison.metrics[0]
    names = [each.system.name for each in comparison.systems]
    rows = _group_rows(title, groups, names)
    if width is not None and width_of(rows) > width:
        names = shortened_names(names, LEAST_NAME + 4)
        rows = _group_rows(title, groups, names)
    while width is not None and width_of(rows) > width and len(rows[0]) > 4:
        rows = [row[:-1] for row in rows]
    counts = {"systems": len(names) + 2 - len(rows[0]), "rows": len(groups) - len(rows) + 1}
    more = [f"{count} more {what}" for what, count in counts.items() if count]
    heading = f"{comparison.systems[0].scores[metric].name} by {title}"
    heading += f" ({' and '.join(more)}: page=FILE.html)" if more else ""
    return f"{heading}\n{table(rows, width, right=range(1, len(rows[0])))}"


def _group_rows(title: str, groups: Sequence[GroupScores], names: Sequence[str]) -> Rows:
    rows = [[title, "lines", *names]]
    for group in _largest_differences(groups):
        rows.append([group.name, f"{group.lines:,}", *(_group_cell(group, number) for number in range(len(names)))])
    return rows


def _largest_differences(groups: Sequence[GroupScores]) -> list[GroupScores]:
    """The groups in which systems differ most, in the order of all groups."""

    def spread(group: GroupScores) -> float:
        return max(group.values) - min(group.values)

    chosen = sorted(groups, key=spread, reverse=True)[:_MOST_GROUPS]
    return [group for group in groups if group in chosen]


def _group_cell(group: GroupScores, number: int) -> str:
    value = f"{group.values[number]:.1f}"
    return f"{value} ({signed(group.values[number] - group.values[0])})" if number else value


def signed(difference: float) -> str:
    """A difference with one decimal and its sign; "0.0" for one that rounds to it."""
    text = f"{difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def _gap_text(gap: ScoreGap, width: int | None) -> str:
    """Findings on a difference in BLEU, then the figures after each change of the text, and with other settings."""
    rows = [["BLEU", *gap.names, "apart"]]
    rows += [
        [f"{prefix}{figures.title}", f"{figures.first:.2f}", f"{figures.second:.2f}", f"{figures.gap:+.2f}"]
        for prefix, several in (("", gap.steps[:1]), ("+ ", gap.steps[1:]), ("", gap.settings))
        for figures in several
    ]
    heading = wrapped(f"Why {gap.names[1]} and {gap.names[0]} differ in BLEU", width)
    findings = [wrapped(f"- {finding}", width) for finding in gap.findings]
    return "\n".join([heading, *findings, "", table(rows, width, right=(1, 2, 3))])


def _most_interesting(comparison: Comparison) -> ScoredSystem | None:
    """The best system beside the baseline, whose lines are shown; the page has those of all."""
    metric = comparison.metrics[0]
    # a system with the translations of the baseline has no lines to show
    others = [each for each in comparison.systems[1:] if each.wins or each.losses]
    if not others:
        return None

    def gain(compared: ScoredSystem) -> float:
        difference = compared.scores[metric].difference
        value = 0.0 if difference is None else difference.value
        return value if comparison.is_better(metric, 1.0) else -value

    return max(others, key=gain)


def _lines(comparison: Comparison, compared: ScoredSystem, width: int | None, count: int) -> Iterator[str]:
    names = comparison.systems[0].system.name, compared.system.name
    yield wrapped(
        f"{names[1]} beside {names[0]}, line by line: {compared.num_equal:,} translations are equal; by chrF "
        f"{compared.num_better:,} are better, {compared.num_worse:,} worse.",
        width,
    )
    for title, examples in (("largest wins", compared.wins[:count]), ("largest losses", compared.losses[:count])):
        if examples:
            yield "\n".join([f"{title} of {names[1]}", *(_example(example, names, width) for example in examples)])


def _example(example: Example, names: tuple[str, str], width: int | None) -> str:
    texts: Mapping[str, str] = {
        **({"source": example.source} if example.source else {}),
        "reference": example.reference,
        names[0]: example.baseline,
        names[1]: example.hypothesis,
    }
    labels = shortened_names(list(map(show_unprintable, texts)), 20)
    column = max(map(wcswidth, labels))
    lines = [f"  line {example.number:,}: chrF {example.baseline_score:.1f} → {example.score:.1f}"]
    for label, text in zip(labels, texts.values(), strict=True):
        shown = show_unprintable(text)
        # the beginning of a long line: where translations differ is seen on the page
        shown = shown if width is None else beginning(shown, width - column - 6)
        lines.append(f"    {label}{' ' * (column - wcswidth(label))}  {shown}")
    return "\n".join(lines)
