"""A baseline of drift, and its file: features of held-out lines of each direction, beside a model's weights."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translate.errors import UserError, excerpt
from translate.files import read_json
from translate.model_directory import MONITORING, content_hash, find_model_or_export
from translate.monitoring.features import LineFeatures
from translate.monitoring.log import choose_lines, read_log
from translate.opening import head_of
from translate.output import write_output

_FORMAT = 1
_BEGINNING = '{"format"'  # of the files that save_baseline writes


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Features of held-out lines of one direction.

    text      name of their file
    model     content hash of the model; "": of a log
    decoding  settings that the lines were translated with; {}: not known
    left_out  names of measures that cannot be compared, with the reason
    """

    lines: Sequence[LineFeatures]
    text: str
    direction: str
    model: str = ""
    decoding: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def baseline_path(model: str) -> Path:
    """The file beside a model's weights."""
    return find_model_or_export(Path(model)) / MONITORING


def check_target(path: Path) -> None:
    """Raise UserError where save_baseline could not write, or would replace a file of another kind."""
    if not os.access(path.parent, os.W_OK):
        raise UserError(
            f"{path.parent} cannot be written to: name another file, baseline=FILE, here and in comparisons"
        )
    if path.is_file():
        _read(path)


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline beside those of other directions of the same model. Raises UserError where that fails."""
    directions: dict[str, Any] = {}
    if path.is_file():
        content = _read(path)
        directions = content["directions"] if content["model"] == baseline.model else {}
    lines = [line.to_json() for line in baseline.lines]
    directions[baseline.direction] = {
        "text": baseline.text,
        "decoding": baseline.decoding,
        "features": {name: [line[name] for line in lines] for name in LineFeatures().to_json()},
    }
    _write(path, {"format": _FORMAT, "model": baseline.model, "directions": directions})


def _write(path: Path, content: dict[str, Any]) -> None:
    write_output(path, json.dumps(content, ensure_ascii=False), option="baseline")


def load_baseline(path: Path, *, direction: str) -> Baseline:
    """Read what save_baseline wrote; direction: "" for the only one. Raises UserError for a damaged file."""
    content = _read(path)
    directions = content["directions"]
    if direction not in directions and (direction or len(directions) != 1):
        raise UserError(
            f"{path} has no lines of direction={direction or '…'}, but of {', '.join(directions)}; choose one of "
            "them, or add it: make_baseline=true source=FILE target_language=CODE"
        )
    name, entry = (direction, directions[direction]) if direction else next(iter(directions.items()))
    try:
        columns = entry["features"]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        lines = [LineFeatures.from_json(row) for row in rows]
        text, decoding = entry["text"], entry["decoding"]
        if not lines or not isinstance(text, str) or not isinstance(decoding, dict):
            raise ValueError("no lines")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        again = "delete it, and make it again: make_baseline=true"
        raise UserError(f"{path} is damaged ({excerpt(error)}); {again}") from None
    return Baseline(lines=lines, text=text, direction=name, model=content["model"], decoding=decoding)


def baseline_of_file(path: str, *, direction: str, last: int) -> Baseline:
    """Read a file that save_baseline wrote, or the newest `last` lines of a service's log.

    direction  "": the only one. Raises UserError where the file has it not.
    """
    if head_of(path, len(_BEGINNING)) == _BEGINNING.encode():
        return load_baseline(Path(path), direction=direction)
    log = read_log([path], last=last)
    directions = sorted({system.direction for system in log.systems})
    if not direction and len(directions) != 1:
        raise UserError(f"baseline={path} has lines of {', '.join(directions) or 'no direction'}; choose: direction=…")
    lines, _ = choose_lines(log, model="", direction=direction or directions[0])
    return Baseline(lines=[line.features for line in lines], text=path, direction=direction or directions[0])


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if content.get("format") != _FORMAT:
        raise UserError(f"{path} was written by another version; delete it, and make it again: make_baseline=true")
    if not isinstance(content.get("directions"), dict) or not isinstance(content.get("model"), str):
        raise UserError(f"{path} is damaged; delete it, and make it again: make_baseline=true")
    return content


def copy_baselines(model: Path, export: Path) -> None:
    """Give an export the baselines of its model directory, if there are any, as those of its own version."""
    if (model / MONITORING).is_file():
        _write(export / MONITORING, {**_read(model / MONITORING), "model": content_hash(str(export))})
