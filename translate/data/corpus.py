"""One corpus of sentence pairs: its format, its files, and its part in training."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from translate.data.filters.config import FilterConfig
from translate.errors import UserError, require_between
from translate.files import require_regular
from translate.parsing import from_plain

_MOST_PAIRS = 2**48
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e4  # bounds of `weight`: an epoch must have pairs, and fit into memory


class CorpusFormat(StrEnum):
    auto = "auto"  # recognised by the content of path; text if path is not set
    text = "text"
    csv = "csv"
    tsv = "tsv"
    xlsx = "xlsx"
    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"
    tmx = "tmx"
    xliff = "xliff"
    po = "po"
    moses = "moses"
    squad = "squad"
    hub = "hub"
    mtdata = "mtdata"
    sacrebleu = "sacrebleu"


_NAMED = (CorpusFormat.hub, CorpusFormat.mtdata, CorpusFormat.sacrebleu)  # loaded by name, not from path


@dataclass(kw_only=True)
class CorpusConfig:
    """One corpus of sentence pairs.

    source, target  text: one file each. Other formats: the column, by name or number from 1 (as in `cut -f`), or the
                    key, with a dot for each level (translation.de); "": found by names and contents.
                    Several references of a validation or test set: target=[FIRST,SECOND]
    path            other formats: the file, a pattern such as corpus/*.tmx, or a list of both
    name            hub, mtdata, sacrebleu: the data set. For a test set also its name in reports; "": the file name
    subset, split, revision  hub: as in datasets.load_dataset; name can be a local folder
    skip, take      number of rows left out at the beginning, and of rows read after them; 0: all
    every_answer    squad: all correct answers, separated by TAB, for test sets; else the first
    weight          number of times that each pair of a training corpus occurs in an epoch
    start, end      fractions of the run between which a training corpus is used
    tag             symbol prepended to every source sentence, such as <bt>; "": none
    labels          of a test set: a file with a line of TAB-separated labels for each pair; "": none
    score           column of scores, for data.cleaning.filters.min_score; text: a file; "": none
    document        column of names of documents, for data.context; text: a file; "": blank lines end documents
    context         previous lines of a document in front of each source line; set by data.context
    filters         of a training corpus; they override data.cleaning.filters
    source_language, target_language  languages of the text, which choose columns or parts of the file; "": those of
                    data
    """

    format: CorpusFormat = CorpusFormat.auto
    source: str = ""
    target: Any = ""  # str, or list[str] of at least two
    path: Any = ""  # str, or list[str]
    name: str = ""
    subset: str = ""
    split: str = "train"
    revision: str = ""
    skip: int = 0
    take: int = 0
    every_answer: bool = False
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    tag: str = ""
    labels: str = ""
    score: str = ""
    document: str = ""
    context: int = 0
    filters: FilterConfig = field(default_factory=FilterConfig)
    source_language: str = ""
    target_language: str = ""

    def __post_init__(self) -> None:
        # Text has no path: with one, `text` is only left over from an earlier composition of the configuration.
        # Without a path, auto is text, as in the configurations and fingerprints of older runs.
        if self.format in (CorpusFormat.auto, CorpusFormat.text):
            self.format = CorpusFormat.auto if self.path else CorpusFormat.text
        targets = one_or_several(self.target, key="target")
        self.target = targets[0] if len(targets) == 1 else targets  # x and [x] give one fingerprint
        paths = one_or_several(self.path, key="path")
        self.path = paths[0] if len(paths) == 1 else paths

    @property
    def targets(self) -> list[str]:
        """All targets: training and validation loss use the first, scores use all as references."""
        return self.target if isinstance(self.target, list) else [self.target]

    @property
    def paths(self) -> list[str]:
        """Files and patterns of path; none where it is not set."""
        return [path for path in one_or_several(self.path, key="path") if path]

    @property
    def title(self) -> str:
        """Name in messages: the data set or the files."""
        return self.name or ", ".join(self.paths) or self.source

    @property
    def prefix(self) -> str:
        """Tag and space in front of each source line; "" without a tag."""
        return f"{self.tag} " if self.tag else ""

    def describe_sides(self) -> tuple[str, str]:
        """Names of the sides in messages, with their languages where these are known."""
        languages = self.source_language, self.target_language
        source, target = (f" ({language})" if language else "" for language in languages)
        return f"source{source}", f"target{target}"

    @property
    def is_given(self) -> bool:
        """True if anything but tag, context and languages is set, which a held-out set may have as well."""
        return replace(self, tag="", context=0, source_language="", target_language="") != CorpusConfig()

    @property
    def is_permanent(self) -> bool:
        """True if the corpus is used from the first update of a run to the last."""
        return self.start <= 0 and self.end >= 1

    def takes_part(self, fraction_done: float) -> bool:
        """True if the corpus is used after this fraction of the run."""
        return self.start <= fraction_done < self.end

    @property
    def last(self) -> int | None:
        """Index after the last pair that is read; None: to the end."""
        return self.skip + self.take if self.take else None

    @property
    def is_part(self) -> bool:
        return bool(self.skip or self.take)

    @property
    def of_scores(self) -> CorpusConfig:
        """This corpus with the scores on both sides."""
        return replace(self, source=self.score, target=self.score)

    @property
    def of_documents(self) -> CorpusConfig:
        """This corpus with the names of documents on both sides."""
        return replace(self, source=self.document, target=self.document)

    @property
    def extra_column(self) -> str:
        """Name of the option, score or document, whose column both sides are read from; "" for a corpus of pairs."""
        is_one = bool(self.source) and self.source == self.target
        return next((name for name in ("score", "document") if is_one and getattr(self, name) == self.source), "")

    @property
    def is_searched(self) -> bool:
        """True if the reader has to find the source and target columns, by their languages."""
        has_fixed_sides = self.format in (CorpusFormat.text, CorpusFormat.hub, CorpusFormat.squad)
        return not has_fixed_sides and not (self.source and self.target)

    def check(self, key: str) -> None:
        """Raise UserError for options that are missing or out of range, and for missing files and pipes.

        key  name of this configuration in errors, such as data.train
        """
        for name in ("skip", "take"):
            require_between(f"{key}.{name}", getattr(self, name), 0, _MOST_PAIRS)
        if missing := self._missing_options():
            raise self._missing_error(missing, key)
        for option, path in self._paths():
            require_regular(path, option=f"{key}.{option}")

    def _missing_options(self) -> list[str]:
        values = {**vars(self), "target": all(self.targets)}  # none of several may be empty
        is_one_given = bool(values["source"]) != values["target"]
        needs_both = self.format in (CorpusFormat.text, CorpusFormat.hub) or is_one_given
        needed = ["source", "target"] if needs_both else []
        if self.format is not CorpusFormat.text:
            needed.append("name" if self.format in _NAMED else "path")
        return [name for name in needed if not values[name]]

    def _missing_error(self, missing: list[str], key: str) -> UserError:
        options = " ".join(f"{key}.{name}=…" for name in missing)
        subject = f"the {self.format} corpus is"
        if self.format is not CorpusFormat.text and {"source", "target"}.issuperset(missing):
            subject = f"the columns of the {self.format} corpus are"
        if self.format is CorpusFormat.text and len(missing) == 2:
            options += f", or {key}.path=… for a file with both sides"
        message = f"{key}: {subject} not specified; set {options}"
        if key in ("data.valid", "data.test"):
            message += f" (without any {key} option, pairs are held out from data.train)"
        return UserError(message)

    def _paths(self) -> Iterator[tuple[str, str]]:
        """Options and the files that they name."""
        if self.labels:
            yield "labels", self.labels
        if self.format is CorpusFormat.text:
            yield from [("source", self.source), *(("target", path) for path in self.targets)]
            yield from ((name, path) for name, path in (("score", self.score), ("document", self.document)) if path)
        elif self.format not in _NAMED:
            for path in self.paths:
                matches = [] if os.path.exists(path) else glob.glob(path, recursive=True)
                yield from (("path", match) for match in matches or [path])

    def content(self, hashes: list[str]) -> list[Any]:
        """Settings that determine the pairs, together with the hashes of the files: no file names, no weights."""
        columns = [] if self.format is CorpusFormat.text else [self.source, self.target]
        if self.is_searched:
            columns += [self.source_language, self.target_language]
        # defaults are left out, so that fingerprints of runs older than these options stay valid
        part = [self.skip, self.take, self.every_answer] if self.is_part or self.every_answer else []
        context = [["context", self.context, self.document]] if self.context else []
        return [self.format.value, hashes, columns, self.tag, *part, *context]

    @property
    def share_of_training(self) -> Any:
        """Weight, with start and end if the corpus is not used in the whole run: for the fingerprint of a run."""
        return self.weight if self.is_permanent else [self.weight, self.start, self.end]


def one_or_several(value: Any, *, key: str) -> list[str]:
    """Value of an option that is a name or a list of names, as a list; column numbers become text.

    For options of type Any, since OmegaConf does not support `str | list[str]`. Raises UserError for anything else and
    for an empty list.
    """
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str | int | float | Path) for name in names):
        raise UserError(f"{key}={value!r}: neither a name nor a list of names, as in {key}=[FIRST,SECOND]")
    return [str(name) for name in names]


def recorded_corpus(settings: Mapping[str, Any], file: Path) -> CorpusConfig:
    """A validation or test set from the configuration of a run, without filters, which are for training.

    Options that this version does not know are ignored. Raises UserError, naming the file, for damaged values.
    """
    known = {field.name for field in fields(CorpusConfig)} - {"filters"}
    chosen = {option: value for option, value in settings.items() if option in known}
    # a text or a list of texts is no plain value
    lists = {option: chosen.pop(option) for option in ("target", "path") if isinstance(chosen.get(option), list)}
    if not all(isinstance(each, str) for values in lists.values() for each in values):
        raise UserError(f"{file}: the files of a set must be texts")
    return replace(from_plain(CorpusConfig, chosen, file), **lists)
