"""One run, report or file of translations, with all that a comparison needs of it.

Each file of a run is read by itself: a run that lacks one, or has a damaged one, is still listed with what the others
say, and with the reason why its translations are not compared.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from translate.comparison.inputs import is_report, is_run
from translate.comparison.test_sets import References, SourceText, references_of, text_of
from translate.errors import UserError, excerpt
from translate.evaluation.report import HYPOTHESES, REPORT
from translate.files import flatten, read_json
from translate.model_directory import MANIFEST, WEIGHTS, load_manifest
from translate.text import read_lines
from translate.training.saved_states import CONFIG, PROGRESS, read_config, state_folders

_LOG_BYTES = 4096  # read from the end of a log, which may have gigabytes


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts about a run, None or "" for one that is not known.

    status            finished, unfinished with its step, or the error that ended it
    parameters        of the model; of an adapter its own
    lines_per_second  of the translation of the test set
    seconds           of training, in all sessions
    validation        the best value of validation_metric and the loss of that model
    step              of the last saved state
    hardware          that trained and translated
    """

    status: str = ""
    parameters: int | None = None
    lines_per_second: float | None = None
    seconds: float | None = None
    step: int | None = None
    validation_metric: str = ""
    validation: float | None = None
    validation_loss: float | None = None
    hardware: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run, a report or a file of translations.

    path        as it was named; name: in tables, "" for the path
    hypotheses  N lines; none where there are none yet
    references  N lines of each; none for a file, which is scored against references that are given
    text        source and labels; None where they cannot be read
    tokenize    BLEU's tokenizer of its own scores; scores: their values by metric
    settings    of the run, flat
    made        versions, commit and data that the run was made with
    seed        None for what is no run
    problem     reason why it cannot be compared; "" if it can
    """

    path: Path
    name: str = ""
    hypotheses: list[str] = field(default_factory=list)
    references: References = field(default_factory=list)
    text: SourceText | None = None
    tokenize: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    facts: Facts = field(default_factory=Facts)
    notes: list[str] = field(default_factory=list)
    problem: str = ""


def read_entry(path: Path, *, test: str) -> Entry:
    """Read a run's folder, a folder of a report, or a file of translations.

    test  name of one of a run's further test sets; "": its first

    Raises UserError for a file that cannot be read as text.
    """
    if is_run(path):
        return _read_run(path, test)
    if is_report(path):
        return _with_translations(Entry(path=path), path, {})
    return Entry(path=path, hypotheses=list(read_lines(path)))


def _read_run(folder: Path, test: str) -> Entry:
    # a run that is at work, or was killed, lacks some of these files
    states = state_folders(folder / "state")
    found = [
        _readable(read_config, folder / CONFIG),
        _readable(load_manifest, folder / MANIFEST),
        _readable(read_json, folder / "result.json"),
        _readable(read_json, states[-1] / PROGRESS) if states else ({}, []),
    ]
    config, manifest, result, progress = (content for content, _ in found)
    settings = flatten(config)
    facts = _facts(folder, result, progress, settings, manifest)
    seed = _number(settings.get("run.seed"))
    entry = Entry(
        path=folder,
        settings=settings,
        made={key: manifest[key] for key in ("data", "commit", "torch", "hardware", "threads") if key in manifest},
        seed=None if seed is None else int(seed),
        facts=facts,
        notes=[note for _, notes in found for note in notes],
    )
    directory = folder / "evaluation" / test if test else folder / "evaluation"
    if not is_report(directory):
        named = f"no translations of the test set {test}" if test else "no translations of its test set yet"
        return replace(entry, problem=named)
    return _with_translations(entry, directory, config)


def _with_translations(entry: Entry, directory: Path, config: Mapping[str, Any]) -> Entry:
    """The entry with the translations, the references and the report in a folder."""
    report, notes = _readable(read_json, directory / REPORT)
    try:
        hypotheses = list(read_lines(directory / HYPOTHESES))
    except UserError as error:
        return replace(entry, problem=str(error))
    if not hypotheses:
        return replace(entry, problem=f"{directory / HYPOTHESES} is empty")
    decoding = _mapping(report.get("decoding"))
    # a report may have been edited or be of another version: what is no number is not known
    count, seconds = _number(report.get("lines")), _number(report.get("seconds"))
    scores = {name: _number(_mapping(score).get("value")) for name, score in _mapping(report.get("scores")).items()}
    entry = replace(
        entry,
        hypotheses=hypotheses,
        tokenize=str(report.get("tokenize", "")),
        scores={name: value for name, value in scores.items() if value is not None},
        settings={**entry.settings, **{f"decoding.{name}": str(value) for name, value in decoding.items()}},
        facts=replace(entry.facts, lines_per_second=count / seconds if count and seconds else None),
        notes=[*entry.notes, *notes],
    )
    return _with_references(entry, directory, report, config)


def _with_references(entry: Entry, directory: Path, report: Mapping[str, Any], config: Mapping[str, Any]) -> Entry:
    """The entry with its references and source; where they are not there, it is compared with given ones only."""
    try:
        references = references_of(entry.path, directory, report, config)
    except UserError as error:
        return replace(entry, problem=str(error))
    for lines in references:
        if len(lines) != len(entry.hypotheses):
            found = f"{directory / HYPOTHESES} has {len(entry.hypotheses):,} lines, and its references {len(lines):,}"
            return replace(entry, problem=found)
    return replace(entry, references=references, text=text_of(entry.path, report, config, references))


def _readable(read: Callable[[Path], dict[str, Any]], file: Path) -> tuple[dict[str, Any], list[str]]:
    """Content of a file, {} where it is missing or damaged, with a note on the damage."""
    try:
        return (read(file) if file.exists() else {}), []
    except (UserError, OSError) as error:  # of a run at work, a state may be gone by now
        return {}, [excerpt(str(error).partition(";")[0])]


def _facts(
    folder: Path,
    result: Mapping[str, Any],
    progress: Mapping[str, Any],
    settings: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> Facts:
    validation = _mapping(result.get("validation"))
    step = _number(progress.get("step"))
    session = _mapping(progress.get("session"))
    hardware = [str(session.get("hardware") or manifest.get("hardware") or "")]
    if threads := session.get("threads") or manifest.get("threads"):
        hardware.append(f"{threads} threads")
    return Facts(
        status=_status(folder, result, step, settings),
        parameters=count_parameters(folder / "best" / WEIGHTS),
        seconds=_number(progress.get("seconds")),
        step=None if step is None else int(step),
        validation_metric=str(validation.get("metric") or settings.get("validation.metric") or ""),
        validation=_number(validation.get("value", progress.get("best"))),
        validation_loss=_number(validation.get("loss", progress.get("best_loss"))),
        hardware=", ".join(filter(None, hardware)),
    )


def _status(folder: Path, result: Mapping[str, Any], step: float | None, settings: Mapping[str, Any]) -> str:
    scored = _number(result.get("step"))
    # a finished run that was continued has states after the step that its result is of
    if scored is not None and (step is None or scored >= step):
        return "finished"
    bound = _number(settings.get("run.max_steps"))
    reached = "before its first state" if step is None else f"at step {step:,.0f}"
    of_all = f" of {bound:,.0f}" if bound and step is not None else ""
    earlier = "" if scored is None else f", scored at step {scored:,.0f}"
    error = _last_error(folder / "train.log")
    return f"unfinished {reached}{of_all}{earlier}" + (f" ({error})" if error else "")


def _last_error(log: Path) -> str:
    """The error that a run's log ends with; "" if it does not."""
    with suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        lines = file.read().decode(errors="replace").strip().split("\n")
        _, found, message = lines[-1].partition(" error: ")
        return f"error: {excerpt(message)}" if found else ""
    return ""


def count_parameters(weights: Path) -> int | None:
    """Number of values in a file of weights, from its header alone; None where it cannot be read."""
    from safetensors import SafetensorError, safe_open

    with suppress(SafetensorError, OSError), safe_open(weights, framework="numpy") as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return None


def _number(value: Any) -> float | None:
    """A finite number as it is; None for anything else that a damaged file may hold."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # comparing converts no integer to a float, which a large one would not fit into; NaN is never smaller
    return value if is_number and abs(value) <= sys.float_info.max else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
