"""The package from Python: load_model, train, prepare, evaluate and export, and what they return.

    from translate import load_model

    model = load_model("runs/mine")
    model.translate(["A line."])

Names and signatures here stay as they are from one version to the next; those of other modules may change. Importing
this module starts nothing and imports neither PyTorch nor Hydra. Errors that the caller can mend are UserErrors. The
functions may be called any number of times and from any thread; one of train, prepare, evaluate and export runs at a
time.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.decoding.config import DecodingConfig, SearchConfig
from translate.errors import UserError, excerpt
from translate.parsing import from_plain

if TYPE_CHECKING:
    from translate.data.cleaning import CleaningReport
    from translate.decoding.translation import Translation
    from translate.decoding.translator import Translator
    from translate.evaluation.evaluate import Evaluation
    from translate.explanation import Explanation
    from translate.export import ExportComparison

__all__ = ["Model", "SearchConfig", "TrainedRun", "UserError", "evaluate", "export", "load_model", "prepare", "train"]

Options = Mapping[str, Any]
_LOCK = threading.RLock()  # signals, the log and PyTorch's random numbers are those of the process


def load_model(
    path: str | Path,
    *,
    engine: str = "native",
    device: str = "auto",
    precision: str = "auto",
    adapter: str | Path = "",
    target_language: str = "",
    tag: str = "",
    threads: int = 0,
    workers: int = 1,
) -> Model:
    """Load a model for translating.

    path     a run's folder, a model directory, or an export for the engine
    workers  processes on a CPU that share the sentences; above 1, this process is forked for each call

    The other options are those of python -m translate.decode. Raises UserError for a model that is missing or damaged,
    and for what the engine or the machine cannot do.
    """
    from translate.engines import load_translator

    options = {
        "engine": engine,
        "device": device,
        "precision": precision,
        "adapter": str(adapter),
        "target_language": target_language,
        "tag": tag,
        "threads": threads,
        "workers": workers,
    }
    config = from_plain(DecodingConfig, options, "load_model")
    config.check()
    return Model(load_translator(str(path), config), Path(path))


class Model:
    """A model with its tokenizer and the search of its run.

    path      of its folder
    manifest  what is known of it: languages, data, versions
    search    settings that scored it in its run; the defaults where these are not recorded
    """

    def __init__(self, translator: Translator, path: Path) -> None:
        from translate.decoding.search.config import search_of

        self.path = path
        self.manifest: Mapping[str, Any] = translator.manifest
        self.search: SearchConfig = search_of(translator.manifest) or translator.search
        self._translator = translator

    def translate(self, lines: Sequence[str], *, search: SearchConfig | None = None) -> list[str]:
        """One translation for each line, in order; a blank one for a blank line."""
        return [translation.text for translation in self.translations(lines, search=search)]

    def translations(self, lines: Sequence[str], *, search: SearchConfig | None = None) -> list[Translation]:
        """Like translate, with scores, n-best lists, numbers of tokens and of parts."""
        return self._with(search).translate(_lines(lines))

    def score(self, lines: Sequence[str], translations: Sequence[str]) -> list[float | None]:
        """Mean log probability of a token, EOS counted, of each line's given translation, without a search.

        None for a blank line, and where a side is too long for the model. Raises UserError unless there are as many
        translations as lines.
        """
        lines, translations = _lines(lines), _lines(translations)  # once: they may be iterators
        if len(lines) != len(translations):
            raise UserError(f"{len(lines):,} lines have {len(translations):,} translations")
        scored = self._translator.score(lines, translations)
        return [None if pair.scores is None else pair.scores.score() for pair in scored]

    def explain(
        self, lines: Sequence[str], translations: Sequence[str] | None = None, *, search: SearchConfig | None = None
    ) -> list[Explanation]:
        """Attention, alignment and probabilities of each line's translation; pictures: translate.explanation.

        translations  to explain instead of the model's own

        Raises UserError for an engine or an architecture without attention, and for lines that are blank or too long.
        """
        from translate.decoding.native_engine import NativeEngine
        from translate.explanation import explain_pair

        lines, translator = _lines(lines), self._with(search)
        engine, tokenizer = translator.engine, translator.tokenizer
        if not isinstance(engine, NativeEngine):
            raise UserError("only engine=native shows its attention: load_model(…) without engine=")
        texts = self.translate(lines, search=search) if translations is None else _lines(translations)
        sources = translator.encode_whole(lines)
        targets = tokenizer.encode_target(texts)
        if len(sources) != len(targets):
            raise UserError(f"{len(sources):,} lines have {len(targets):,} translations")
        found = []
        for number, (source, target) in enumerate(zip(sources, targets, strict=True), start=1):
            if not source or max(len(source), len(target)) > engine.max_length:
                raise UserError(f"line {number:,} is blank, or longer than the model's {engine.max_length:,} tokens")
            explanation = explain_pair(engine.model, tokenizer, source, target)
            if explanation is None:
                raise UserError(f"{self.path} has no attention to look at")
            found.append(explanation)
        return found

    def _with(self, search: SearchConfig | None) -> Translator:
        """The translator with another search; a copy, since other threads may be using it."""
        search = search or self.search
        if not isinstance(search, SearchConfig):
            raise UserError(f"search={excerpt(repr(search))} where settings are expected: SearchConfig(beam_size=5)")
        search = from_plain(SearchConfig, vars(search), "search")  # choices by their names
        search.check()
        translator = copy.copy(self._translator)
        search.check_model(translator.tokenizer.target_vocab_size, translator.engine.max_length)
        translator.search = search
        return translator


@dataclass(frozen=True)
class TrainedRun:
    """A run that has ended.

    folder  its folder, which load_model takes
    best    the best validation's metric; None where no model was trained, as with plan=true
    scores  of the test sets, by name and metric; {} until the run has been scored
    """

    folder: Path
    best: float | None
    scores: dict[str, dict[str, float]]


def train(options: Options) -> TrainedRun:
    """Train a model, or continue the run in run.dir, and score it: python -m translate.train.

    options  of that command, by dotted names or nested: {"data.train.path": "FILE", "run": {"dir": "runs/mine"}}

    The log goes to stderr and to train.log. KeyboardInterrupt ends the training at once; the same call continues from
    the last state that was saved. Raises UserError for options that the command refuses, DivergedError where training
    diverges.
    """
    from translate.config.calls import configured
    from translate.files import read_json
    from translate.train import ADDITIONS, CHOICES, run
    from translate.training.config import TrainConfig
    from translate.training.run_folder import RunFolder

    with _called(), configured("train", TrainConfig, options, choices=CHOICES, additions=ADDITIONS) as config:
        best = run(config)
    file = RunFolder(config.run.dir).result_file
    tests = read_json(file).get("tests", {}) if file.exists() and not config.plan else {}
    scores = {name: {metric: score["value"] for metric, score in found.items()} for name, found in tests.items()}
    return TrainedRun(Path(config.run.dir), best, scores)


def prepare(options: Options) -> CleaningReport:
    """Clean and encode a corpus ahead of training: python -m translate.prepare.

    Returns the numbers of pairs that were read, kept, and dropped by each rule.
    """
    from translate.config.calls import configured
    from translate.prepare import PrepareConfig, run

    with _called(), configured("prepare", PrepareConfig, options, choices={}, additions={}) as config:
        return run(config).cleaning


def evaluate(options: Options) -> Evaluation:
    """Translate a test set, score it and write a report: python -m translate.evaluate.

    Returns the translations, and the scores with their signatures.
    """
    from translate.config.calls import configured
    from translate.evaluate import EvaluateConfig
    from translate.evaluate import evaluate as run

    with _called(), configured("evaluate", EvaluateConfig, options, choices={}, additions={}) as config:
        return run(config)


def export(options: Options) -> ExportComparison | None:
    """Convert a model for another runtime and compare both: python -m translate.export.

    Returns the translations of both and their BLEU; None with lines=0.
    """
    from translate.config.calls import configured
    from translate.export import ExportConfig
    from translate.export import export as run

    with _called(), configured("export", ExportConfig, options, choices={}, additions={}) as config:
        return run(config)


@contextmanager
def _called() -> Iterator[None]:
    """Context of a command in a caller's process, whose signal handlers and logging stay as they are."""
    from translate.console import restored_log
    from translate.signals import stop_signals

    with _LOCK, stop_signals.left_to_host(), restored_log():
        yield


def _lines(lines: Sequence[str]) -> list[str]:
    # a text is a sequence of its characters
    if isinstance(lines, str | bytes):
        raise UserError("one text is given where a list of lines is expected: write [text]")
    if not isinstance(lines, Iterable):
        raise UserError(f"{excerpt(repr(lines))} is given where a list of lines is expected: write [text]")
    found = list(lines)
    for line in found:
        if not isinstance(line, str):
            raise UserError(f"a line is {excerpt(repr(line))} where a text is expected: pass str(…) or bytes.decode()")
        try:
            line.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"a line has half of a surrogate pair, which is no character: {excerpt(repr(line))}; decode bytes as "
                "UTF-8 or UTF-16"
            ) from None
    return found
