"""Systems: several seeds of one setting as one, names that tell systems apart, settings that differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

from translate.comparison.entries import Entry, Facts

# settings without effect on what a model learns or translates
_NO_EFFECT = {
    "name",
    "chosen",
    "plan",
    "recipe",
    "run.dir",
    "run.seed",
    "run.log_every",
    "run.keep",
    "run.keep_best",
    "data.cache",
    "compute.threads",
    "compute.timeout",
    "validation.samples",
    "validation.attention_maps",
}
_NO_EFFECT_GROUPS = ("sweep.", "pruning.", "logger.")
# entries of a manifest that are listed like settings, and their titles
_MADE = {"data": "training data", "commit": "program", "torch": "torch", "hardware": "hardware"}
_HASHES = {"training data", "program"}
_HASH_LENGTH = 12  # digits of a hash that are shown
NOT_SET = "–"
_OFF = {"", "[]", "{}", "false", "0", "0.0"}  # values of an option that has no effect


@dataclass(frozen=True)
class System:
    """A file, a report, a run, or several runs of one setting, each with a seed of its own."""

    name: str
    entries: list[Entry]

    @property
    def seeds(self) -> list[int]:
        return [entry.seed for entry in self.entries if entry.seed is not None]

    @property
    def facts(self) -> Facts:
        """Facts of the first run, with the means of speeds, times and validations."""
        facts = [entry.facts for entry in self.entries]
        means = {
            name: _mean([getattr(each, name) for each in facts])
            for name in ("lines_per_second", "seconds", "validation", "validation_loss")
        }
        statuses = list(dict.fromkeys(each.status for each in facts))
        return Facts(
            **{
                **vars(facts[0]),
                **means,
                "status": "; ".join(filter(None, statuses)),
                "hardware": "; ".join(dict.fromkeys(filter(None, (each.hardware for each in facts)))),
            }
        )


def join_seeds(entries: Sequence[Entry], names: Mapping[Path, str]) -> list[System]:
    """Systems in the order of their first entry; runs that are equal but for their seeds are one.

    A run with the settings and the seed of another is a system of its own, as a copy or a repetition.
    """
    groups: dict[str, list[Entry]] = {}
    for number, entry in enumerate(entries):
        key = _setting(entry) if entry.seed is not None and entry.settings else f"entry {number}"
        if entry.seed in [each.seed for each in groups.get(key, [])]:
            key = f"entry {number}"
        groups.setdefault(key, []).append(entry)
    systems = [System(_name_of([names[entry.path] for entry in group]), group) for group in groups.values()]
    # two settings whose runs have names in common, as of a sweep, get the name of their first run as well
    titles = [system.name for system in systems]
    return [
        replace(system, name=f"{system.name}, {names[system.entries[0].path]} …")
        if titles.count(system.name) > 1
        else system
        for system in systems
    ]


def _setting(entry: Entry) -> str:
    """A key of all that decides a run's scores but its seed; unscored runs are no seeds of scored ones."""
    settings = {key: value for key, value in entry.settings.items() if has_effect(key)}
    return json.dumps([settings, entry.made.get("data"), bool(entry.hypotheses)], sort_keys=True, default=str)


def has_effect(key: str) -> bool:
    """True for a setting that may change what a model learns or translates."""
    return key not in _NO_EFFECT and not key.startswith(_NO_EFFECT_GROUPS)


def _name_of(names: Sequence[str]) -> str:
    """The name of a run, or what the names of several have in common, with their number."""
    if len(names) == 1:
        return names[0]
    # base-s1, base-s2: base
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = (
        "".join(letters[0] for letters in same).rstrip("-_. ").removesuffix("seed").removesuffix("-s").rstrip("-_. /")
    )
    return f"{common or names[0]} ({len(names)} seeds)"


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Names that differ: paths without the folders that all of them are in."""
    if len(paths) < 2:
        return {path: path.name if path.is_dir() and path.name else str(path) for path in paths}
    folders = zip(*(path.parts[:-1] for path in paths), strict=False)
    shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, folders))
    return {path: "/".join(path.parts[shared:]) or str(path) for path in paths}


def differing_settings(systems: Sequence[System]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs, each with its value in every system; "–": it has none."""
    settings = [dict(system.entries[0].settings) | _made(system) for system in systems]
    runs = [each for each in settings if each]
    names = dict.fromkeys(name for each in runs for name in each if has_effect(name))
    # parts of different architectures and methods have options of their own, which follow from the choice
    is_shared = {name: all(name in each for each in runs) or name.startswith("decoding.") for name in names}
    found = {}
    for name in names:
        values = [_shown(each.get(name)) if name in each else NOT_SET for each in settings]
        among_runs = [value for value, each in zip(values, settings, strict=True) if each]
        if _differ(among_runs) and (is_shared[name] or not _follows(name, settings)):
            found[name] = values
    return found


def _differ(values: Sequence[str]) -> bool:
    """True for values of which two differ; one that is off is that of a run of before the option, which lacks it."""
    is_lacking = NOT_SET in values
    compared = [NOT_SET if is_lacking and value in _OFF else value for value in values]
    return any(first != second for first, second in pairwise(compared))


def _follows(name: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    """True for an option of a part, such as model, that is of different kinds here."""
    group = name.partition(".")[0]
    kinds = {_shown(each.get(f"{group}.{kind}")) for each in settings if each for kind in ("architecture", "method")}
    return len(kinds - {NOT_SET}) > 1


def _made(system: System) -> dict[str, Any]:
    made = system.entries[0].made
    found = {title: str(made[key]) for key, title in _MADE.items() if key in made}
    return {title: value[:_HASH_LENGTH] if title in _HASHES else value for title, value in found.items()}


def _shown(value: Any) -> str:
    if value is None:
        return NOT_SET
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _mean(values: Sequence[float | None]) -> float | None:
    # of all seeds or none: the mean of a part would be that of other runs than the scores
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
