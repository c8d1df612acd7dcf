"""Training text named on the command line replaces the whole default corpus of a command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from translate.config.groups import CONFIGS

_CHOICE = "data=text_files"
# where the text is; other options of data.train (take, weight, tag, …) change how the chosen corpus is used
_PLACES = ("source", "target", "path", "format", "name")
_TRAIN = "data.train"


def choose_own_text(name: str) -> None:
    """Add data=text_files to the command line where it, or its experiment, names training text and no data=.

    The default corpus's validation and test sets, labels and languages do not suit another text.
    """
    defaults = _read(CONFIGS / f"{name}.yaml").get("defaults", [])
    if not any(isinstance(entry, dict) and "data" in entry for entry in defaults):
        return
    words = dict(_options(sys.argv[1:]))
    experiments = [_read(path) for path in _experiments(words.get("experiment", ""))]
    is_chosen = "data" in words or any(_chooses_data(experiment) for experiment in experiments)
    if not is_chosen and (_names_text(words) or any(_names_text(_train_options(body)) for body in experiments)):
        sys.argv.append(_CHOICE)


def _options(arguments: list[str]) -> Iterator[tuple[str, str]]:
    for word in arguments:
        key, equals, value = word.partition("=")
        if equals and not word.startswith("-"):
            yield key.lstrip("+"), value


def _names_text(options: dict[str, str]) -> bool:
    places = [f"{_TRAIN}.{place}" for place in _PLACES]
    whole = options.get(_TRAIN, "")
    return any(options.get(place) for place in places) or any(f"{place}:" in whole for place in _PLACES)


def _experiments(choices: str) -> Iterator[Path]:
    """The files of the chosen experiments, of which a sweep has several, with those that they build upon."""
    paths = [CONFIGS / "experiment" / f"{choice.strip()}.yaml" for choice in choices.strip("[]").split(",")]
    seen: set[Path] = set()
    while paths:
        path = paths.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        yield path
        for entry in _read(path).get("defaults", []):
            if isinstance(entry, str) and entry != "_self_":
                paths.append(path.parent / f"{entry}.yaml")


def _chooses_data(experiment: dict[str, Any]) -> bool:
    entries = (entry for entry in experiment.get("defaults", []) if isinstance(entry, dict))
    return any(key.split()[-1].lstrip("/") == "data" for entry in entries for key in entry)


def _train_options(experiment: dict[str, Any]) -> dict[str, str]:
    train = (experiment.get("data") or {}).get("train") or {}
    return {f"{_TRAIN}.{key}": str(value) for key, value in train.items()}


def _read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
