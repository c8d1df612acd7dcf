"""python -m translate.compare: runs and translations of the same text, scored beside each other."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from translate.comparison.entries import Entry, read_entry
from translate.comparison.inputs import find_inputs
from translate.comparison.json_report import json_report
from translate.comparison.page import comparison_page
from translate.comparison.results import ScoringSettings
from translate.comparison.score_gap import explain_gaps
from translate.comparison.scoring import compare_systems, outdated_reports
from translate.comparison.selection import GivenTestSet, Selection, select
from translate.comparison.systems import System, join_seeds, short_names
from translate.comparison.tables import table
from translate.comparison.terminal import comparison_text, fact_rows
from translate.comparison.test_sets import SourceText
from translate.config import run_command
from translate.data.corpus import one_or_several
from translate.data.readers import read_labels
from translate.errors import UserError, require_between, require_numbers, show_controls
from translate.evaluation.comet import COMET, DEFAULT_MODEL, comet_statistics
from translate.evaluation.evaluate import scoring_notes
from translate.evaluation.metrics import SACREBLEU, check_bootstrap, normalised_scores
from translate.evaluation.scores import MIN_RESAMPLES, RESAMPLES, MetricName, Statistics
from translate.evaluation.significance import TRIALS
from translate.files import json_text, require_writable
from translate.output import check_output, write_output
from translate.streams import require_stream
from translate.text import read_lines

_MOST_TRIALS = 1_000_000
_MOST_EXAMPLES = 1000
_PAGE_EXAMPLES = 10  # of wins and of losses, at least, on the page and in JSON


@dataclass(kw_only=True)
class CompareConfig:
    """Compare runs, or files of translations of one text: scores, significance, settings, lines.

    Examples: python -m translate.compare runs/a runs/b
              python -m translate.compare 'runs/*' page=comparison.html
              python -m translate.compare one.txt two.txt reference=FILE

    systems          run folders, folders of reports, files of translations, or patterns; the names can be left out, as
                     in the examples. Runs that differ in their seed alone are one system
    baseline         one of them, or a further one, that the others are compared with; "": the first
    reference        a file; several references: reference=[FIRST,SECOND]; "": those of the runs
    source, labels   files beside them, for scores by length and by label, where no run has them
    test             name of one of the runs' further test sets; "": their first
    target_language  code such as zh, which determines BLEU's tokenizer unless tokenize is set; "": that of the runs, or
                     by the script of the references
    bootstrap        resamples for intervals and p-values (paired), at least 100; 0: neither, and no trials
    trials           of approximate randomization, whose p-value decides between single models; 0: the bootstrap's does
    comet            Python of an environment with unbabel-comet, for COMET beside the other metrics; "": none
    comet_model      its model, downloaded on first use
    explain          why the systems' BLEU differs: case, Unicode form, punctuation, spaces, length, settings of BLEU
    examples         number of largest wins, and of largest losses, that are printed
    format           text, or json on standard output
    page, json       files to write: an HTML page that needs no other file, and JSON
    """

    POSITIONAL: ClassVar[str] = "systems"

    systems: Any = field(default_factory=list)  # str | list[str]
    baseline: str = ""
    reference: Any = ""  # str | list[str]
    source: str = ""
    labels: str = ""
    test: str = ""
    metrics: list[MetricName] = field(default_factory=lambda: [*SACREBLEU])
    target_language: str = ""
    tokenize: str = ""
    bootstrap: int = RESAMPLES
    trials: int = TRIALS
    comet: str = ""
    comet_model: str = DEFAULT_MODEL
    explain: bool = False
    examples: int = 3
    format: str = "text"
    page: str = ""
    json: str = ""

    def check(self) -> None:
        """Raise UserError for values out of range, before a file is read."""
        require_numbers(self)
        check_bootstrap(self.bootstrap)
        require_between("trials", self.trials, 0, _MOST_TRIALS)
        require_between("examples", self.examples, 0, _MOST_EXAMPLES)
        if self.format not in ("text", "json"):
            raise UserError(f"format={self.format} must be text or json")
        if not self.metrics:
            raise UserError("metrics=[] names none: leave it out for BLEU, chrF and TER")
        if not (self.baseline or any(self.words)):
            raise UserError("systems is not set: name run folders or files, as in translate.compare runs/a runs/b")

    @property
    def words(self) -> list[str]:
        """Paths and patterns of the systems, in order."""
        return [word for word in one_or_several(self.systems or "", key="systems") if word]


def compare(config: CompareConfig) -> None:
    """Compare what config.systems names; print a table, verdicts and notes, and write page and JSON."""
    config.check()
    require_stream(sys.stdout, "standard output", "the scores are printed there")
    # all files are read before the first is scored: with resamples, scoring takes long
    paths, baseline, notes = _find(config)
    _check_outputs(config, paths)
    names = short_names(paths)
    entries = [replace(read_entry(path, test=config.test), name=names[path]) for path in paths]
    notes += [f"{entry.path}: {note}" for entry in entries for note in entry.notes]
    selection = select(entries, _given(config), baseline=baseline)
    if selection is None:
        _print_unscored(config, entries, notes)
        return
    settings = ScoringSettings(
        metrics=config.metrics,
        resamples=config.bootstrap,
        trials=config.trials if config.bootstrap >= MIN_RESAMPLES else 0,
        examples=max(_PAGE_EXAMPLES, config.examples),
    )
    systems = join_seeds(selection.entries, names)
    further = {COMET: _comet(config, systems, selection)} if config.comet else {}
    comparison = compare_systems(systems, selection.test, settings, further=further)
    gaps = explain_gaps(comparison, selection.left_out) if config.explain else []
    notes += [*selection.notes, *_notes(config, selection)]
    # against references that are given, other scores are to be expected
    notes += [] if config.reference else outdated_reports(comparison)
    document = json_report(comparison, selection.left_out, notes, gaps)
    if config.page:
        write_output(config.page, comparison_page(comparison, selection.left_out, notes, gaps), option="page")
    if config.json:
        write_output(config.json, json_text(document), option="json")
    if config.format == "json":
        print(json_text(document), end="")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(comparison_text(comparison, selection.left_out, width=width, examples=config.examples, gaps=gaps))
    for note in notes:
        print(show_controls(note), file=sys.stderr)


def _find(config: CompareConfig) -> tuple[list[Path], Path | None, list[str]]:
    """Paths of all systems, that of the baseline if one is named, and notes on what was left out."""
    paths, notes = find_inputs(config.words)
    if not config.baseline:
        return paths, None, notes
    # a run may also be named as the tables name it
    named = [path for path, name in short_names(paths).items() if config.baseline in (name, path.name)]
    if len(named) == 1 and not Path(config.baseline).exists():
        return paths, named[0], notes
    found, _ = find_inputs([config.baseline])
    if len(found) > 1:
        raise UserError(f"baseline={config.baseline} names {len(found)} runs: choose one of them")
    same = [path for path in paths if path.resolve() == found[0].resolve()]
    return (paths, same[0], notes) if same else ([found[0], *paths], found[0], notes)


def _check_outputs(config: CompareConfig, paths: Sequence[Path]) -> None:
    """Raise UserError for an output that cannot be written, or is an input or in a folder of one."""
    named = [*one_or_several(config.reference, key="reference"), config.source, config.labels]
    inputs = [*paths, *(Path(name) for name in named if name)]
    for option in ("page", "json"):
        if not (name := getattr(config, option)):
            continue
        file = Path(name).resolve()
        require_writable(file.parent, option=option)
        for path in map(Path.resolve, inputs):
            if file == path or (path in file.parents and file.exists()):
                raise UserError(f"{option}={name}: that file is compared here and would be overwritten; name another")
    if config.page and config.json and Path(config.page).resolve() == Path(config.json).resolve():
        raise UserError(f"page={config.page} and json={config.json} are one file: name another for one of them")
    for option in filter(lambda option: getattr(config, option), ("page", "json")):
        check_output(getattr(config, option), [], option=option)


def _given(config: CompareConfig) -> GivenTestSet:
    """The test set as far as the command line names it. Raises UserError for files of different lengths."""
    paths = [path for path in one_or_several(config.reference, key="reference") if path]
    references = [list(read_lines(path)) for path in paths]
    source = list(read_lines(config.source)) if config.source else None
    labels = list(read_labels(config.labels)) if config.labels else None
    if labels is not None and source is None:
        raise UserError(f"labels={config.labels} are of source lines: add source=FILE")
    named = [*zip(paths, references, strict=True), (config.source, source), (config.labels, labels)]
    given = [(path, lines) for path, lines in named if lines is not None]
    for path, lines in given[1:]:
        if len(lines) != len(given[0][1]):
            raise UserError(f"{given[0][0]} has {len(given[0][1]):,} lines, but {path} has {len(lines):,}")
    return GivenTestSet(
        references=references,
        reference_paths=paths,
        source=None if source is None else SourceText(source, labels),
        tokenize=config.tokenize,
        target_language=config.target_language,
        name=config.test or (Path(paths[0]).name if paths else ""),
    )


def _comet(config: CompareConfig, systems: Sequence[System], selection: Selection) -> list[list[Statistics]]:
    """COMET's statistics of each entry of each system, which read the source and the first reference."""
    if selection.test.source is None:
        raise UserError(f"comet={config.comet} reads the source, which the runs do not have: add source=FILE")
    lines = [entry.hypotheses for system in systems for entry in system.entries]
    source, reference = selection.test.source.source, selection.test.references[0]
    found = iter(comet_statistics(lines, source, reference, python=config.comet, model=config.comet_model))
    return [list(islice(found, len(system.entries))) for system in systems]


def _print_unscored(config: CompareConfig, entries: Sequence[Entry], notes: Sequence[str]) -> None:
    """Print what is known of runs of which none can be scored. Raises UserError where a page or JSON was wanted."""
    if config.format == "text":
        print(table(fact_rows([], entries), shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    for note in [*(f"{entry.path}: {entry.problem}" for entry in entries if entry.problem), *notes]:
        print(show_controls(note), file=sys.stderr)
    wanted = {"page": config.page, "json": config.json, "format": "json" if config.format == "json" else ""}
    if unwritten := [f"{option}={value}" for option, value in wanted.items() if value]:
        raise UserError(f"{', '.join(unwritten)}: nothing is scored; name a scored run, or reference=FILE")


def _notes(config: CompareConfig, selection: Selection) -> list[str]:
    """Notes below the tables, a line each."""
    notes = [f"{entry.path} is not compared: {entry.problem}" for entry in selection.left_out]
    if config.bootstrap < MIN_RESAMPLES:
        wanted = f"confidence intervals and p-values need at least {MIN_RESAMPLES} resamples"
        notes.append(f"bootstrap={config.bootstrap}: {wanted}")
    references, tokenize = selection.test.references, selection.test.tokenize
    every_line = [line for entry in selection.entries for line in entry.hypotheses]
    notes += scoring_notes(references, config.metrics, hypotheses=every_line)
    for entry in selection.entries:
        lines = entry.hypotheses
        if found := normalised_scores(lines, references, metrics=config.metrics, tokenize=tokenize):
            notes.append(f"{entry.path}: {found}")
    return notes


if __name__ == "__main__":
    run_command("compare", CompareConfig, compare)
