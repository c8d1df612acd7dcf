"""Translate a test set and score it: one function for validation, final test and the evaluate command."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from translate.decoding.config import SearchConfig, describe_search, search_of
from translate.decoding.translator import Splits, Translation, Translator
from translate.device import Precision
from translate.errors import UserError
from translate.evaluation.metrics import (
    ANSWERS,
    MIN_RESAMPLES,
    Metric,
    NormalisedScores,
    Scores,
    normalised_scores,
    score,
)
from translate.evaluation.tokenizers import (
    DEFAULT_TOKENIZER,
    INSTALL_MECAB,
    MECAB,
    OPTIONS,
    TokenizerChoice,
    choose_tokenizer,
    reason_missing,
    script_note,
    tokenizer_of_language,
)

GROUP_METRICS = 2  # groups are scored by the first so many of an evaluation's metrics
_MOST = 0.5  # share of reference lines with a TAB above which TABs look like separators of alternatives
_MANY_EMPTY = 0.1  # share of empty translations that deserves a warning
_LENGTH_EDGES = (10, 20, 30, 40, 60)
_WORD = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")


class Parallel(Protocol):
    """A test set: raw lines of the source and of each reference, and the labels of each pair if it has any."""

    name: str
    source: list[str]
    labels: list[list[str]] | None

    @property
    def references(self) -> list[list[str]]: ...


class LinesTranslator(Protocol):
    """A Translator, or what shares its work out to several."""

    def translate(
        self, lines: Sequence[str], *, progress: Callable[[float], None] | None = None
    ) -> list[Translation]: ...

    def describe(self, splits: Splits) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Group:
    """The pairs of a test set that have a label or a source length in common; exact is a share, 0 to 1."""

    name: str
    size: int
    scores: Scores
    exact: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A test set's translations and what they are worth; lists are parallel, lines as they are in the files.

    references    one list of lines or several
    scores        of the whole set
    exact         share of hypotheses that equal a reference, 0 to 1
    length_ratio  characters of hypotheses / of references; of several references, the closest in length
    by_length     groups by source length in words (characters of Chinese and Japanese)
    by_label      groups by label, largest first; a pair may be in several
    seconds       that translating took
    decoding      settings of the translations, name -> value: engine, precision, search, tag
    notes         for readers of the scores, a line each
    splits        counts of lines translated in parts
    """

    name: str
    source: list[str]
    hypotheses: list[str]
    references: list[list[str]]
    scores: Scores
    tokenize: str
    exact: float
    length_ratio: float
    by_length: list[Group]
    by_label: list[Group]
    seconds: float
    decoding: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    splits: Splits = field(default_factory=Splits)

    @cached_property
    def normalised(self) -> NormalisedScores | None:
        """Scores with both sides in Unicode NFC; None where all lines are NFC as they are."""
        return normalised_scores(self.hypotheses, self.references, metrics=list(self.scores), tokenize=self.tokenize)

    @property
    def empty_note(self) -> str:
        """A warning where many translations have no text although their source has; "" otherwise."""
        texts = zip(self.source, self.hypotheses, strict=True)
        empty = sum(bool(source.strip()) and not hypothesis.strip() for source, hypothesis in texts)
        if empty < _MANY_EMPTY * len(self.hypotheses) or not empty:
            return ""
        return f"{empty:,} of {len(self.hypotheses):,} translations are empty"


def evaluate_corpus(
    translator: LinesTranslator,
    parallel: Parallel,
    *,
    metrics: Sequence[Metric] = (Metric.bleu, Metric.chrf),
    tokenize: str = DEFAULT_TOKENIZER,
    bootstrap: int = 0,
    progress: Callable[[float], None] | None = None,
    decoding: dict[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Translate the raw source lines and score them against the raw references.

    bootstrap and progress are those of metrics.score and Translator.translate; decoding and notes are part of the
    result, which adds what it finds. Raises UserError when the sides differ in length or are empty.
    """
    start = time.monotonic()
    translations = translator.translate(parallel.source, progress=progress)
    seconds = time.monotonic() - start
    hypotheses = [translation.text for translation in translations]
    splits = Splits.of(translations)
    references = parallel.references
    scores = score(hypotheses, references, metrics=metrics, tokenize=tokenize, bootstrap=bootstrap)

    def group(name: str, places: Sequence[int]) -> Group:
        chosen = [hypotheses[i] for i in places], [[reference[i] for i in places] for reference in references]
        scores = score(*chosen, metrics=metrics[:GROUP_METRICS], tokenize=tokenize)
        return Group(name=name, size=len(places), scores=scores, exact=_exact(*chosen))

    return Evaluation(
        name=parallel.name,
        source=parallel.source,
        hypotheses=hypotheses,
        references=references,
        scores=scores,
        tokenize=tokenize,
        exact=_exact(hypotheses, references),
        length_ratio=_length_ratio(hypotheses, references),
        by_length=[group(name, places) for name, places in _length_groups(parallel.source).items()],
        by_label=[group(name, places) for name, places in _label_groups(parallel.labels or []).items()],
        seconds=seconds,
        decoding=dict(decoding or {}),
        notes=[
            *notes,
            *filter(None, [translator.describe(splits)]),
            *scoring_notes(references, metrics, bootstrap=bootstrap, hypotheses=hypotheses),
        ],
        splits=splits,
    )


def scoring_notes(
    references: Sequence[Sequence[str]],
    metrics: Sequence[Metric],
    *,
    bootstrap: int = 0,
    hypotheses: Sequence[str] = (),
) -> list[str]:
    """Reasons why scores are lower than a user may expect, or lack an interval, a line each."""
    notes = []
    if 0 < bootstrap < MIN_RESAMPLES:
        notes.append(f"bootstrap={bootstrap}: confidence intervals need at least {MIN_RESAMPLES} resamples")
    whole = [metric.value for metric in metrics if metric not in ANSWERS]
    tabs = max(sum("\t" in line.strip() for line in reference) / max(len(reference), 1) for reference in references)
    if whole and tabs > _MOST and not any("\t" in line for line in hypotheses):
        notes.append(
            f"{tabs:.0%} of the reference lines hold a TAB, which separates right answers for exact_match and f1 only: "
            f"{', '.join(whole)} read each line as one long text; give several references as files of their own, "
            "reference=[FIRST,SECOND] (data.valid.target, data.test.target in training)"
        )
    return notes


def count_words(line: str) -> int:
    """Words between spaces; each Chinese or Japanese character is one."""
    return len(_WORD.findall(line))


def _exact(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    sides = zip(hypotheses, *references, strict=True)
    return sum(hypothesis.strip() in map(str.strip, lines) for hypothesis, *lines in sides) / len(hypotheses)


def _length_ratio(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    closest = 0
    for hypothesis, *lines in zip(hypotheses, *references, strict=True):
        lengths = (len(line.removesuffix("\r")) for line in lines)
        closest += min(lengths, key=lambda length: (abs(length - len(hypothesis)), length))
    return sum(map(len, hypotheses)) / max(closest, 1)


def _length_groups(source: Sequence[str]) -> dict[str, list[int]]:
    """Places of the lines in each range of lengths, from short to long; ranges without lines are left out."""
    lowest = (0, *(edge + 1 for edge in _LENGTH_EDGES))
    names = [f"{low}–{high}" for low, high in zip(lowest, _LENGTH_EDGES, strict=False)] + [f"{lowest[-1]}+"]
    groups: dict[str, list[int]] = {name: [] for name in names}
    for place, line in enumerate(source):
        words = count_words(line)
        groups[names[sum(words > edge for edge in _LENGTH_EDGES)]].append(place)
    return {name: places for name, places in groups.items() if places}


def _label_groups(labels: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for place, names in enumerate(labels):
        for name in dict.fromkeys(names):
            groups.setdefault(name, []).append(place)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


@dataclass(frozen=True, kw_only=True)
class RunScoring:
    """Settings that the scores in a run's log and report depend on; "" or None where an older run did not record them.

    tokenize   BLEU's tokenizer
    precision  in which validation and test sets were decoded
    """

    target_language: str
    tokenize: str
    precision: Precision | None
    search: SearchConfig | None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> RunScoring:
        """Raises UserError for values that no version of this program has written."""
        try:
            precision = manifest.get("decoding_precision")
            return cls(
                target_language=str(manifest.get("target_language", "")),
                tokenize=str(manifest.get("bleu_tokenizer", "")),
                precision=Precision(precision) if precision else None,
                search=search_of(manifest),
            )
        except (ValueError, TypeError) as error:
            raise UserError(f"the model's manifest.json is damaged: {error}") from None

    def tokenizer(self, references: Sequence[Sequence[str]]) -> TokenizerChoice:
        """The run's tokenizer; another one, with a note, where it is not installed or was not recorded."""
        if self.tokenize and not reason_missing(self.tokenize):
            because = f"the run's BLEU counts by tok:{self.tokenize}"
            note = script_note(references, self.tokenize, because=because, options=OPTIONS)
            return TokenizerChoice(self.tokenize, note)
        if self.tokenize:
            fallback = "char" if self.tokenize == MECAB else choose_tokenizer(references, language="").name
            remedy = f" ({INSTALL_MECAB})" if self.tokenize == MECAB else ""
            note = (
                f"the run's BLEU counts by tok:{self.tokenize}, which is not installed here{remedy}: this BLEU counts "
                f"by tok:{fallback} and cannot be compared with the run's"
            )
            return TokenizerChoice(fallback, note)
        if not self.target_language:
            return choose_tokenizer(references, language="", options=OPTIONS)
        tokenize = tokenizer_of_language(self.target_language)
        because = f"the model's target language is {self.target_language}"
        return TokenizerChoice(tokenize, script_note(references, tokenize, because=because, options=OPTIONS))


def describe_decoding(translator: Translator, *, engine: str, tag: str) -> dict[str, str]:
    """Settings that translations depend on, name -> value, for Evaluation.decoding."""
    return {
        "engine": str(engine),
        "precision": str(translator.engine.precision),
        "search": describe_search(translator.search),
        "tag": tag or "none",
    }
