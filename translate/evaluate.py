"""python -m translate.evaluate: translate a test set, print its scores with signatures, write a report."""

from dataclasses import replace
from pathlib import Path

from translate.config import is_given, run_command
from translate.decoding.engine import EngineName
from translate.decoding.search_record import search_note
from translate.device import Precision
from translate.evaluation.files import (
    EvaluateConfig,
    claimed_output,
    evaluate_files,
    read_evaluation_text,
    report_directory,
)
from translate.evaluation.report import terminal_text
from translate.evaluation.run_scoring import RunScoring
from translate.exporting.engines import can_decode_in, open_model
from translate.model_directory import read_manifest


def evaluate(config: EvaluateConfig) -> None:
    config.check()
    text = read_evaluation_text(config)
    with claimed_output(config):
        manifest = read_manifest(Path(config.model), Path(config.adapter) if config.adapter else None)
        run = RunScoring.of(manifest)
        if run.search is not None and not is_given("search"):
            config = replace(config, search=replace(run.search, n_best=config.search.n_best))
        config, note = with_precision(config, run)
        notes = list(filter(None, [note, search_note(run.search, config.search)]))
        translator = open_model(config.model, config, as_validated=True).translator
        evaluation = evaluate_files(translator, text, config, run=run, notes=notes)
        print(terminal_text(evaluation))
    print(f"report: {report_directory(config) / 'report.md'}")


def with_precision(config: EvaluateConfig, run: RunScoring) -> tuple[EvaluateConfig, str]:
    """Settings with the run's precision where none is given, and a note where that cannot be used here, else ""."""
    if run.precision is None or config.precision not in (Precision.auto, run.precision):
        return config, ""
    made = f"the run's own scores were decoded in {run.precision}"
    if config.engine is not EngineName.native:
        return config, f"{made} by engine=native"
    if not can_decode_in(run.precision, config.device):
        return config, f"{made}, which this machine does not support, or emulates slowly"
    return replace(config, precision=run.precision), ""


if __name__ == "__main__":
    run_command("evaluate", EvaluateConfig, evaluate)
