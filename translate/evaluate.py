"""python -m translate.evaluate: translate a test set, print its scores with signatures, write a report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from translate.config import is_given, run_command
from translate.console import Progress, print_notes
from translate.data.corpora import ParallelText, one_or_several
from translate.data.readers import read_labels
from translate.decoding.config import DecodingConfig, EngineName, search_note
from translate.decoding.translator import Translator
from translate.device import Precision
from translate.engines import can_decode_in, open_model
from translate.errors import UserError
from translate.evaluation.evaluate import Evaluation, RunScoring, describe_decoding, evaluate_corpus
from translate.evaluation.metrics import RESAMPLES, SACREBLEU, Metric, check_bootstrap
from translate.evaluation.report import REPORT_FILES, reference_files, reference_names, terminal_text, write_report
from translate.evaluation.tokenizers import TokenizerChoice, check_tokenizer, choose_tokenizer
from translate.folders import claimed
from translate.model_directory import read_manifest
from translate.text import normalise, read_lines


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


@dataclass(kw_only=True)
class EvaluateConfig(DecodingConfig):
    """The evaluate command: on the files that a run validated or tested on, it repeats the run's scores.

    Search, precision, tag and BLEU's tokenizer are those of the run unless they are given here.

    model              a run's folder or a model directory
    source, reference  files of equally many lines; several references: reference=[FIRST,SECOND]
    labels             a file with a line of TAB-separated labels for each of them; "" for none
    output             the report's folder; "": evaluation/NAME in the model's or the adapter's, NAME being the source
                       file's
    target_language    its code, such as zh: chooses BLEU's tokenizer, unless tokenize does
    metrics            those reported; groups are scored by the first two
    tokenize           sacreBLEU's -tok; "": by target_language; without both, as in the run
    bootstrap          resamples for the confidence intervals, at least 100; 0: none
    examples           lines shown in the report, worst and best
    """

    model: str = "???"
    source: str = "???"
    reference: Any = "???"  # str | list[str]
    labels: str = ""
    output: str = ""
    target_language: str = ""
    metrics: list[Metric] = field(default_factory=lambda: [*SACREBLEU])
    tokenize: str = ""
    bootstrap: int = RESAMPLES
    examples: int = 20
    progress: bool = True

    @property
    def references(self) -> list[str]:
        return one_or_several(self.reference, key="reference")

    def check(self) -> None:
        """Raise UserError for settings that would fail only after everything has been translated."""
        check_bootstrap(self.bootstrap)
        if self.tokenize:
            check_tokenizer(self.tokenize, key="tokenize")


def read_evaluation_text(config: EvaluateConfig) -> ParallelText:
    """The files to evaluate on; UserError, with both counts, when they differ in their number of lines."""
    source = list(read_lines(config.source))
    references = [list(read_lines(path)) for path in config.references]
    labels = list(read_labels(config.labels)) if config.labels else None
    for path, lines in (*zip(config.references, references, strict=True), (config.labels, labels)):
        if lines is not None and len(lines) != len(source):
            raise UserError(f"{config.source} has {len(source):,} lines, but {path} has {len(lines):,}")
    if not source:
        raise UserError(f"{config.source} has no lines: there is nothing to evaluate")
    return ParallelText(
        name=Path(config.source).name,
        source=source,
        target=references[0],
        labels=labels,
        reference_paths=config.references,
        further_references=references[1:],
    )


def claimed_output(config: EvaluateConfig) -> AbstractContextManager[None]:
    """Claim the report's folder. Raises UserError where the report would overwrite input, or files of another kind."""
    inputs = [path for path in (config.source, *config.references, config.labels) if path]
    references = reference_names(len(config.references))
    for file in (report_directory(config) / name for name in (*REPORT_FILES, *references)):
        if any(file.exists() and file.samefile(path) for path in inputs):
            raise UserError(f"{file} is evaluated here and would be overwritten by the report; set output= to a folder")
    if not config.output:
        return nullcontext()
    return claimed(Path(config.output), REPORT_FILES, may_have=references, kind="evaluation", option="output")


def evaluate_files(
    translator: Translator,
    text: ParallelText,
    config: EvaluateConfig,
    *,
    run: RunScoring | None = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Translate and score what read_evaluation_text has read; the report goes to report_directory(config).

    run    its tokenizer is used where config names neither a tokenizer nor a target language
    notes  lines that become part of the result
    """
    run = run or RunScoring.of({})
    choice = _tokenizer(config, run, text)
    tagging = translator.tagging
    print_notes(tagging.note, warning=tagging.check(map(normalise, text.source)))
    progress = Progress("lines", total=len(text)) if config.progress else None
    evaluation = evaluate_corpus(
        translator,
        replace(text, source=[tagging.put_in_front(line) for line in text.source]),
        metrics=config.metrics,
        tokenize=choice.name,
        bootstrap=config.bootstrap,
        progress=(lambda share: progress.show(share * len(text))) if progress else None,
        decoding=describe_decoding(translator, engine=config.engine, tag=tagging.tag),
        notes=[*notes, *filter(None, [choice.note])],
    )
    if progress:
        progress.finish(len(text))
    references = reference_files(text.reference_paths, evaluation.references, report_directory(config))
    write_report(evaluation, report_directory(config), examples=config.examples, reference_paths=references)
    return evaluation


def _tokenizer(config: EvaluateConfig, run: RunScoring, text: ParallelText) -> TokenizerChoice:
    if config.tokenize:
        return TokenizerChoice(config.tokenize)
    if config.target_language:
        return choose_tokenizer(text.references, language=config.target_language)
    return run.tokenizer(text.references)


def report_directory(config: EvaluateConfig) -> Path:
    """Where the report goes."""
    folder = Path(config.adapter or config.model)
    return Path(config.output) if config.output else folder / "evaluation" / Path(config.source).name


if __name__ == "__main__":
    run_command("evaluate", EvaluateConfig, evaluate)
