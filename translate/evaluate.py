"""python -m translate.evaluate: translate a test set, print its scores with signatures, write a report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from translate.config import is_given, run_command
from translate.console import Progress, markdown_table, print_notes, text_table
from translate.data.corpora import ParallelText
from translate.data.corpus import one_or_several
from translate.data.formats.named_sets import sacrebleu_files
from translate.data.languages import choose_direction
from translate.data.readers import read_labels
from translate.decoding.config import DecodingConfig, EngineName
from translate.decoding.search.config import search_note
from translate.decoding.translator import Translator
from translate.device import Precision
from translate.engines import can_decode_in, load_translator
from translate.errors import UserError, errors_naming, require_at_least
from translate.evaluation.evaluate import Evaluation, describe_decoding, evaluate_corpus
from translate.evaluation.metrics import SACREBLEU, check_bootstrap
from translate.evaluation.report import REPORT_FILES, reference_files, reference_names, terminal_text, write_report
from translate.evaluation.robustness import check_noise, noisy_version, robustness_rows
from translate.evaluation.run_scoring import RunScoring
from translate.evaluation.scores import RESAMPLES, MetricName
from translate.evaluation.tokenizers import TokenizerChoice, check_tokenizer, choose_tokenizer, tokenizer_of_record
from translate.files import require_writable, write_text
from translate.folders import claimed
from translate.model_directory import read_manifest
from translate.text import normalise, read_lines, write_lines

ROBUSTNESS, SOURCE = "robustness.md", "source.txt"


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Translate config.source, score the translations against config.reference, print and write the report."""
    config.check()
    config = with_test_set(config)
    text = read_evaluation_text(config)
    # before the model is loaded, as decoding may take hours
    with claimed_output(config):
        # search and precision are those of the run's own scores unless they are given, so that the scores repeat
        manifest = manifest_of_direction(config)
        run = RunScoring.of(manifest)
        if run.search is not None and not is_given("search"):
            config = replace(config, search=replace(run.search, n_best=config.search.n_best))
        config, note = with_precision(config, run)
        # scores that cannot repeat the run's carry the reason in the report
        notes = list(filter(None, [note, search_note(run.search, config.search)]))
        translator = load_translator(config.model, config, as_validated=True)
        clean = evaluate_files(translator, text, config, run=run, notes=notes)
        if config.noise:
            languages = str(manifest.get("source_language", "")), config.target_language or run.target_language
            evaluate_noisy(translator, text, clean, config, run=run, languages=languages)
    print(f"report: {report_directory(config) / 'report.md'}")
    return clean


@dataclass(kw_only=True)
class EvaluateConfig(DecodingConfig):
    """Translate a test set and score it. On the files that a run was scored on, this repeats the run's scores.

    Example: python -m translate.evaluate model=runs/mine source=FILE reference=FILE

    Search, precision, tag and BLEU's tokenizer are those of the run unless they are set here.

    model              a run's folder or a model directory; several of one vocabulary decode together:
                       model=[FIRST,SECOND]
    source, reference  files with the same number of lines; several references: reference=[FIRST,SECOND]
    test_set           instead of these, a test set of sacreBLEU in the model's languages, such as wmt20
    labels             a file with a line of TAB-separated labels for each source line; "": none
    output             folder for the report; "": evaluation/NAME in the folder of the model or adapter, with the name
                       of the source file
    metrics            metrics to report; groups are scored by the first two
    tokenize           sacreBLEU's -tok; "": by target_language; if neither is set, as in the run
    bootstrap          resamples for the confidence intervals, at least 100; 0: none
    examples           number of the worst and best lines shown in the report
    noise              noisy versions of the test set to score as well, such as [capitals,typos]: names of
                       augmentation.*. Each has a folder in output, and robustness.md there compares them
    synonyms_file      for noise=[synonyms]
    """

    model: Any = "???"  # str | list[str]
    source: str = ""
    reference: Any = ""  # str | list[str]
    test_set: str = ""
    labels: str = ""
    output: str = ""
    metrics: list[MetricName] = field(default_factory=lambda: [*SACREBLEU])
    tokenize: str = ""
    bootstrap: int = RESAMPLES
    examples: int = 20
    noise: list[str] = field(default_factory=list)
    synonyms_file: str = ""
    progress: bool = True

    @property
    def models(self) -> list[str]:
        return one_or_several(self.model, key="model")

    @property
    def references(self) -> list[str]:
        return one_or_several(self.reference, key="reference")

    def check(self) -> None:
        """Raise UserError for settings that would fail only after everything has been translated."""
        super().check()
        if self.test_set and (self.source or any(self.references)):
            raise UserError(f"test_set={self.test_set} has source and references: leave source= and reference= out")
        for name, given in (("source", self.source), ("reference", all(self.references))):
            if not given and not self.test_set:
                raise UserError(f"{name} is not set: add {name}=… to the command line, or test_set=…")
        if self.memory.report:
            raise UserError("memory.report is written by python -m translate.decode: leave it out")
        if len(self.models) > 1 and not self.output:
            raise UserError("several models have no folder in common: set output= to one for the report")
        check_bootstrap(self.bootstrap)
        require_at_least("examples", self.examples, 0)
        if self.tokenize:
            check_tokenizer(self.tokenize, key="tokenize")
        check_noise(self.noise, synonyms_file=self.synonyms_file)
        if self.noise and self.constraints.prefixes:
            raise UserError("noise translates the test set several times, constraints.prefixes once: leave one out")
        if self.memory.report:
            raise UserError(f"memory.report={self.memory.report} is written by translate.decode: leave it out")


def with_test_set(config: EvaluateConfig) -> EvaluateConfig:
    """The configuration with the files of its test set as source and references, if it names one."""
    if not config.test_set:
        return config
    manifest = manifest_of_direction(config)
    languages = [str(manifest.get(f"{side}_language", "")) for side in ("source", "target")]
    with errors_naming("test_set"):
        source, references = sacrebleu_files(config.test_set, languages[0], config.target_language or languages[1])
    return replace(config, source=source, reference=references)


def manifest_of_direction(config: EvaluateConfig) -> dict[str, Any]:
    """The model's manifest, for the direction that the configuration chooses where it has several."""
    manifest = read_manifest(Path(config.models[0]), Path(config.adapter) if config.adapter else None)
    return choose_direction(manifest, target_language=config.target_language, tag=config.tag)


def read_evaluation_text(config: EvaluateConfig) -> ParallelText:
    """Read source, references and labels. Raises UserError, with both counts, if their numbers of lines differ."""
    source = list(read_lines(config.source))
    references = [list(read_lines(path)) for path in config.references]
    labels = list(read_labels(config.labels)) if config.labels else None
    for path, lines in (*zip(config.references, references, strict=True), (config.labels, labels)):
        if lines is not None and len(lines) != len(source):
            raise UserError(f"{config.source} has {len(source):,} lines, but {path} has {len(lines):,}")
    config.constraints.require_lines(len(source), config.source)
    # scores of no lines are undefined
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
    """Claim the report's folder. Raises UserError if the report would overwrite input, or files of another kind."""
    others = [*config.constraints.files, *config.memory.paths]
    inputs = [path for path in (config.source, *config.references, config.labels, *others) if path]
    references = reference_names(len(config.references))
    for file in (report_directory(config) / name for name in (*REPORT_FILES, *references)):
        # by inode: a link or another spelling of the path is the same file
        if any(file.exists() and file.samefile(path) for path in inputs):
            raise UserError(f"{file} is evaluated here and would be overwritten by the report; set output= to a folder")
    # the default folder lies in the model directory, which is the program's own
    if not config.output:
        require_writable(report_directory(config), option="output")
        return nullcontext()
    return claimed(
        Path(config.output), REPORT_FILES, may_have=[*references, ROBUSTNESS], kind="evaluation", option="output"
    )


def with_precision(config: EvaluateConfig, run: RunScoring) -> tuple[EvaluateConfig, str]:
    """Settings with the run's precision if none is given, and a note if it cannot be used here, else ""."""
    if run.precision is None or config.precision not in (Precision.auto, run.precision):
        return config, ""
    made = f"the run's own scores were decoded in {run.precision}"
    # engines round in their own ways: one name of a precision does not make equal scores
    if config.engine is not EngineName.native:
        return config, f"{made} by engine=native"
    if not can_decode_in(run.precision, config.device):
        return config, f"{made}, which this machine does not support, or emulates slowly"
    return replace(config, precision=run.precision), ""


def evaluate_files(
    translator: Translator,
    text: ParallelText,
    config: EvaluateConfig,
    *,
    run: RunScoring | None = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Translate and score a test set, write the report into report_directory(config), print the scores.

    run    its tokenizer is used if config names neither a tokenizer nor a target language
    notes  lines that become part of the result
    """
    evaluation = translate_and_score(translator, text, config, run=run or RunScoring.of({}), notes=notes)
    try:
        write_evaluation(evaluation, text, report_directory(config), examples=config.examples)
    finally:
        print(terminal_text(evaluation))  # also where the disk has no room for the report
    return evaluation


def evaluate_noisy(
    translator: Translator,
    text: ParallelText,
    clean: Evaluation,
    config: EvaluateConfig,
    *,
    run: RunScoring,
    languages: tuple[str, str],
) -> None:
    """Translate and score noisy versions of a test set; print and write the table of all scores.

    clean      evaluation of the set itself
    languages  ISO 639 codes of source and target
    """
    noisy, tags = {}, translator.tagging.known
    for kind in config.noise:
        version = noisy_version(text, kind, synonyms_file=config.synonyms_file, languages=languages, tags=tags)
        noisy[kind] = translate_and_score(translator, version, config, run=run)
        directory, names = report_directory(config) / kind, reference_names(len(version.references))
        with claimed(directory, REPORT_FILES, may_have=[*names, SOURCE], kind="evaluation", option="output"):
            write_lines(directory / SOURCE, version.source)
            write_evaluation(noisy[kind], version, directory, examples=config.examples)
    rows = robustness_rows(clean, noisy)
    print("\n" + text_table(rows, right=range(1, len(rows[0]))))
    write_text(report_directory(config) / ROBUSTNESS, f"# Robustness\n\n{markdown_table(rows[0], rows[1:])}\n")


def translate_and_score(
    translator: Translator, text: ParallelText, config: EvaluateConfig, *, run: RunScoring, notes: Sequence[str] = ()
) -> Evaluation:
    """Translate a test set, with the tag that it needs, and score the translations."""
    # before translating: a missing tokenizer must not cost the work
    choice = _tokenizer(config, run, text.references)
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
        decoding=describe_decoding(translator, engine=_engine_name(config), tag=tagging.tag),
        notes=[*notes, *filter(None, [choice.note])],
    )
    if progress:
        progress.finish(len(text))
    return evaluation


def write_evaluation(evaluation: Evaluation, text: ParallelText, directory: Path, *, examples: int) -> None:
    """Write the report of an evaluation, and the references unless they are files that hold the same lines."""
    references = reference_files(text.reference_paths, evaluation.references, directory)
    write_report(evaluation, directory, examples=examples, reference_paths=references)


def _engine_name(config: EvaluateConfig) -> str:
    count = len(config.models)
    return f"{config.engine}, ensemble of {count} models" if count > 1 else str(config.engine)


def _tokenizer(config: EvaluateConfig, run: RunScoring, references: Sequence[Sequence[str]]) -> TokenizerChoice:
    if config.tokenize:
        return TokenizerChoice(config.tokenize)
    if config.target_language and not run.of_many:
        return choose_tokenizer(references, language=config.target_language)
    return tokenizer_of_record(references, recorded=run.tokenize, target_language=run.target_language)


def report_directory(config: EvaluateConfig) -> Path:
    """Folder of the report."""
    folder = Path(config.adapter or config.models[0])
    return Path(config.output) if config.output else folder / "evaluation" / Path(config.source).name


if __name__ == "__main__":
    run_command("evaluate", EvaluateConfig, evaluate)
