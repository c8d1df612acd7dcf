"""A comparison as JSON, for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from translate.comparison.entries import Entry
from translate.comparison.results import Comparison, Example, GroupScores, ScoredSystem, SystemScore
from translate.comparison.score_gap import ScoreGap
from translate.comparison.systems import differing_settings
from translate.comparison.verdicts import verdicts


def json_report(
    comparison: Comparison, left_out: Sequence[Entry], notes: Sequence[str], gaps: Sequence[ScoreGap] = ()
) -> dict[str, Any]:
    """All results; the systems are in the order of the tables, the baseline first."""
    names = [each.system.name for each in comparison.systems]
    settings = {
        name: dict(zip(names, values, strict=True))
        for name, values in differing_settings([each.system for each in comparison.systems]).items()
    }
    return {
        "baseline": names[0],
        "lines": len(comparison.test.references[0]),
        "references": len(comparison.test.references),
        "tokenize": comparison.test.tokenize,
        "resamples": comparison.settings.resamples,
        "trials": comparison.settings.trials,
        "systems": [_system(each) for each in comparison.systems],
        "settings": settings,
        "verdicts": list(map(str, verdicts(comparison))),
        "by_length": [_group(group, names) for group in comparison.by_length],
        "by_label": [_group(group, names) for group in comparison.by_label],
        "left_out": [{"path": str(entry.path), "reason": entry.problem, **asdict(entry.facts)} for entry in left_out],
        "explanations": [asdict(gap) for gap in gaps],
        "notes": list(notes),
    }


def _system(compared: ScoredSystem) -> dict[str, Any]:
    return {
        "name": compared.system.name,
        "paths": [str(entry.path) for entry in compared.system.entries],
        "seeds": compared.system.seeds,
        "scores": {metric: _score(score) for metric, score in compared.scores.items()},
        **asdict(compared.system.facts),
        "equal_lines": compared.num_equal,
        "better_lines": compared.num_better,
        "worse_lines": compared.num_worse,
        "wins": [_example(example) for example in compared.wins],
        "losses": [_example(example) for example in compared.losses],
    }


def _score(score: SystemScore) -> dict[str, Any]:
    return {"value": score.value, **asdict(score)}  # a property, which asdict leaves out


def _group(group: GroupScores, names: Sequence[str]) -> dict[str, Any]:
    return {"name": group.name, "lines": group.lines, "values": dict(zip(names, group.values, strict=True))}


def _example(example: Example) -> dict[str, Any]:
    return {"line": example.number, **{key: value for key, value in asdict(example).items() if key != "number"}}
