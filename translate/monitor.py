"""python -m translate.monitor: drift of what a translation service is given, from its log without text."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

from translate.config import run_command
from translate.console import print_notes
from translate.data.corpus import one_or_several
from translate.decoding.config import DecodingConfig
from translate.errors import UserError, require_at_least, require_between, show_controls
from translate.files import json_text
from translate.monitoring.baseline import Baseline, baseline_of_file, baseline_path, check_target, save_baseline
from translate.monitoring.drift import LEAST_LINES, find_drift
from translate.monitoring.json_lines import find_files
from translate.monitoring.log import choose_lines, read_log
from translate.monitoring.make_baselines import baseline_of_model, make_baseline
from translate.monitoring.page import drift_page
from translate.monitoring.results import DriftReport, describe_baseline, metrics_text, report_json, report_text
from translate.monitoring.sampling import draw, read_samples, write_sheet
from translate.output import check_output, write_output
from translate.streams import require_stream

_MOST_LINES = 1_000_000


@dataclass(kw_only=True)
class MonitorConfig(DecodingConfig):
    """Find drift: lines of a translation service, by its log without text, against held-out lines of the model.

    Examples: python -m translate.monitor service.log model=runs/mine
              python -m translate.monitor model=models/mine make_baseline=true source=held-out.en
              python -m translate.monitor samples=samples.jsonl sample=100 sheet=judge.csv

    model      a run's folder or a model directory
    log        files of the service, or patterns; the name can be left out, as in the example
    make_baseline  translate held-out lines with the model, and keep their features beside it, as training has done with
               those of its test set
    source     these lines, a file; "": the test set of the model's run
    baseline   file to compare with, or for make_baseline to write: one that it has written, or an earlier log; "": the
               model's
    lines      of source that are translated at most, spread evenly; 0: all
    direction  source and target code of the lines to compare, such as en-de; "": the only one of the baseline
    key        name of an API key whose requests alone count; "": all
    window     lines that are compared together
    last       newest lines of the log to compare, and of the samples to draw from
    level      of significance: probability of a false alarm, of all measures together, in a window
    page, json, metrics  files to write: an HTML page, JSON, metrics for node_exporter's textfile collector
    samples    files of samples of translations that the service keeps, or patterns
    sample     number of these to draw for people to judge, at all degrees of confidence
    sheet      table of the drawn ones to fill in, a CSV or TSV file by the end of its name
    seed       of the draw

    Options of decoding are for make_baseline, and should be those of the service.
    """

    POSITIONAL: ClassVar[str] = "log"

    model: str = ""
    log: Any = field(default_factory=list)  # str | list[str]
    make_baseline: bool = False
    source: str = ""
    baseline: str = ""
    lines: int = 2000
    direction: str = ""
    key: str = ""
    window: int = 500
    last: int = 100_000
    level: float = 0.01
    page: str = ""
    json: str = ""
    metrics: str = ""
    samples: Any = field(default_factory=list)  # str | list[str]
    sample: int = 0
    sheet: str = ""
    seed: int = 1

    def check(self) -> None:
        """Raise UserError for values out of range, and for options that do not go together."""
        super().check()
        require_between("window", self.window, LEAST_LINES, _MOST_LINES)
        require_between("last", self.last, LEAST_LINES, _MOST_LINES)
        require_between("level", self.level, 1e-9, 0.5)
        require_between("sample", self.sample, 0, _MOST_LINES)
        require_at_least("lines", self.lines, 0)
        if not (self.make_baseline or self.logs or self.sample):
            raise UserError(
                "log is not set: name the service's log, as in translate.monitor service.log model=runs/mine"
            )
        if self.make_baseline and not self.model:
            raise UserError("make_baseline=true translates with a model: set model=")
        if self.logs and not (self.model or self.baseline):
            raise UserError("model is not set: name the model that the log is of, or baseline=FILE to compare with")
        for name in ("page", "json", "metrics"):
            if (value := getattr(self, name)) and not self.logs:
                raise UserError(f"{name}={value} has the results of a log: set log=")
        if bool(self.sample) != bool(self.sheet) or bool(self.sample) != bool(self.sample_files):
            raise UserError("sample, samples and sheet belong together: set all of them, or none")

    @property
    def logs(self) -> list[str]:
        return [word for word in one_or_several(self.log or "", key="log") if word]

    @property
    def sample_files(self) -> list[str]:
        return [word for word in one_or_several(self.samples or "", key="samples") if word]


def monitor(config: MonitorConfig) -> None:
    """Make the baseline, compare a log with it, draw a sample: as far as the configuration says."""
    config.check()
    check_files(config)
    if config.make_baseline:
        found = make_baseline(config.model, config, source=config.source, most=config.lines or _MOST_LINES)
        save_baseline(found, target_of(config))
        print_notes(f"{target_of(config)}: {found.direction}, {describe_baseline(found)}")
    if config.logs:
        report = compare(config)
        for name, content in outputs(config, report).items():
            write_output(getattr(config, name), content, option=name)
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(report_text(report, width=width), flush=True)  # the notes follow on stderr
        for note in report.notes:
            print(show_controls(note), file=sys.stderr)
    if config.sample:
        drawn = draw(read_samples(config.sample_files, last=config.last), config.sample, seed=config.seed)
        write_sheet(Path(config.sheet), drawn)
        print_notes(f"{config.sheet}: {len(drawn):,} translations to judge")


def check_files(config: MonitorConfig) -> None:
    """Raise UserError for files that are missing, and for outputs that cannot be written or are inputs."""
    logs = find_files(config.logs, option="log")
    inputs = [*logs, *find_files(config.sample_files, option="samples"), *filter(None, [config.source])]
    inputs += [config.baseline] if config.baseline and not config.make_baseline else []
    written = [name for name in ("page", "json", "metrics", "sheet") if getattr(config, name)]
    written += ["baseline"] if config.baseline and config.make_baseline else []
    for name in written:
        check_output(getattr(config, name), inputs, option=name)
    if same := [name for name, other in combinations(written, 2) if getattr(config, name) == getattr(config, other)]:
        raise UserError(f"{same[0]}={getattr(config, same[0])}: another option names that file, too; name another one")
    if config.make_baseline:
        check_target(target_of(config))
    if logs:
        require_stream(sys.stdout, "standard output", "the results are printed there")


def target_of(config: MonitorConfig) -> Path:
    """The file that make_baseline writes."""
    return Path(config.baseline) if config.baseline else baseline_path(config.model)


def compare(config: MonitorConfig) -> DriftReport:
    """Compare the log with the baseline. Raises UserError where one of them has too few lines."""
    log = read_log(config.logs, last=config.last, key=config.key)
    baseline = find_baseline(config)
    lines, notes = choose_lines(log, model=baseline.model, direction=baseline.direction)
    for name, count in ((baseline.text, len(baseline.lines)), ("the log", len(lines))):
        if count < LEAST_LINES:
            raise UserError(
                f"{name} has {count:,} lines with text of {baseline.direction}, too few to compare: at "
                f"least {LEAST_LINES} are needed"
            )
    windows = find_drift(
        baseline.lines, lines[-config.last :], window=config.window, level=config.level, left_out=baseline.left_out
    )
    return DriftReport(baseline=baseline, log=log, windows=windows, level=config.level, size=config.window, notes=notes)


def find_baseline(config: MonitorConfig) -> Baseline:
    """The baseline that the configuration names."""
    if config.baseline:
        return baseline_of_file(config.baseline, direction=config.direction, last=config.last)
    return baseline_of_model(config.model, direction=config.direction)


def outputs(config: MonitorConfig, report: DriftReport) -> dict[str, str | bytes]:
    """Content of the files to write, by their options."""
    makers: dict[str, Callable[[], str | bytes]] = {
        "page": lambda: drift_page(report),
        "json": lambda: json_text(report_json(report)),
        "metrics": lambda: metrics_text(report),
    }
    # all are made before the first is written
    return {name: make() for name, make in makers.items() if getattr(config, name)}


if __name__ == "__main__":
    run_command("monitor", MonitorConfig, monitor)
