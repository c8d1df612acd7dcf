"""Evaluation of a model on files: what the evaluate command reads and writes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from translate.data.preparation import ParallelText
from translate.decoding.progress import Progress
from translate.decoding.translator import DecodingConfig, Translator
from translate.errors import UserError
from translate.evaluation.evaluation import Evaluation, evaluate_corpus
from translate.evaluation.metrics import SACREBLEU, Metric, bleu_tokenizer
from translate.evaluation.report import write_report
from translate.text import read_lines


@dataclass(kw_only=True)
class EvaluateConfig(DecodingConfig):
    """The evaluate command.

    model              a run's folder or a model directory
    source, reference  files of equally many lines
    labels             a file with a line of TAB-separated labels for each of them; "" for none
    output             the report's folder; "": evaluation/NAME in the model's or the adapter's, NAME being the source
                       file's
    target_language    its code, such as zh: chooses what BLEU counts as words, unless tokenize says so
    metrics            what is told; groups are scored by the first two
    tokenize           sacreBLEU's -tok; "": by target_language
    bootstrap          resamples for the confidence intervals; 0: none
    examples           lines shown in the report, worst and best
    """

    model: str = "???"
    source: str = "???"
    reference: str = "???"
    labels: str = ""
    output: str = ""
    target_language: str = ""
    metrics: list[Metric] = field(default_factory=lambda: [*SACREBLEU])
    tokenize: str = ""
    bootstrap: int = 1000
    examples: int = 20
    progress: bool = True


def read_evaluation_text(config: EvaluateConfig) -> ParallelText:
    """The files to evaluate on; UserError, with both counts, when they differ in their number of lines."""
    source, reference = list(read_lines(config.source)), list(read_lines(config.reference))
    labels = [line.split("\t") for line in read_lines(config.labels)] if config.labels else None
    for path, lines in ((config.reference, reference), (config.labels, labels)):
        if lines is not None and len(lines) != len(source):
            raise UserError(f"{config.source} has {len(source):,} lines, but {path} has {len(lines):,}")
    if not source:
        raise UserError(f"{config.source} has no lines: there is nothing to evaluate")
    return ParallelText(
        name=Path(config.source).name,
        source=source,
        target=reference,
        labels=labels,
        reference_path=config.reference,
    )


def evaluate_files(translator: Translator, text: ParallelText, config: EvaluateConfig) -> Evaluation:
    """Translate and score what read_evaluation_text has read; the report goes to report_directory(config)."""
    progress = Progress(sys.stderr, total=len(text)) if config.progress else None
    evaluation = evaluate_corpus(
        translator,
        text,
        metrics=config.metrics,
        tokenize=config.tokenize or bleu_tokenizer(config.target_language),
        bootstrap=config.bootstrap,
        progress=(lambda share: progress.show(share * len(text))) if progress else None,
    )
    if progress:
        progress.finish(len(text))
    write_report(evaluation, report_directory(config), examples=config.examples, reference_path=config.reference)
    return evaluation


def report_directory(config: EvaluateConfig) -> Path:
    """Where the report goes."""
    folder = Path(config.adapter or config.model)
    return Path(config.output) if config.output else folder / "evaluation" / Path(config.source).name
