"""One corpus of sentence pairs: its form, its files, and when it takes part in training."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from translate.data.filters.config import FilterConfig
from translate.errors import UserError, require_between
from translate.files import require_regular

_MOST_PAIRS = 2**48
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e4  # of a corpus, so that an epoch has pairs, and no more than memory holds


class CorpusFormat(StrEnum):
    auto = "auto"  # by the content of path; text where there is none
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


_NAMED = (CorpusFormat.hub, CorpusFormat.mtdata, CorpusFormat.sacrebleu)  # by name, not by path


@dataclass(kw_only=True)
class CorpusConfig:
    """One corpus of sentence pairs.

    source, target  text: one file each. Otherwise the column: a name, or for TSV without a header a number
                    from 1 (as in `cut -f`); a dotted name reaches into a record, such as translation.de.
                    Several references of a validation or test set: target=[FIRST,SECOND]
    path            all forms but text: the file, a pattern such as corpus/*.tmx, or a list of both; .gz but for Parquet
    name            hub, mtdata, sacrebleu: of the data set. Of a test set also in reports; "": the name of its file
    subset, split, revision  hub: as in datasets.load_dataset; a local folder may stand for the name
    skip, take      number of pairs left out at the beginning, and of pairs read after them; 0: all
    every_answer    squad: all right answers, separated by TAB, as a test set wants them; else the first
    weight          number of times that an epoch sees each pair of a training corpus
    start, end      fractions of the run between which a training corpus takes part
    tag             a symbol such as <bt> to put in front of every source sentence; "" for none
    labels          for a test set: a file with a line of TAB-separated labels for each pair; "" for none
    score           column of a score of each pair, for data.cleaning.filters.min_score; text: a file; "" for none
    filters         of a training corpus, over those of data.cleaning.filters
    source_language, target_language  of its text, by which columns or parts of the file are chosen; "": those of data
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
    filters: FilterConfig = field(default_factory=FilterConfig)
    source_language: str = ""
    target_language: str = ""

    def __post_init__(self) -> None:
        # Text has two files and no path: with one, it is only the default of a configuration that was composed before.
        # Without, auto is text, as in the configurations and fingerprints of older runs.
        if self.format in (CorpusFormat.auto, CorpusFormat.text):
            self.format = CorpusFormat.auto if self.path else CorpusFormat.text
        targets = one_or_several(self.target, key="target")
        self.target = targets[0] if len(targets) == 1 else targets  # x and [x] give one fingerprint
        paths = one_or_several(self.path, key="path")
        self.path = paths[0] if len(paths) == 1 else paths

    @property
    def targets(self) -> list[str]:
        """All targets: the first is for training and the validation loss, all are references."""
        return self.target if isinstance(self.target, list) else [self.target]

    @property
    def paths(self) -> list[str]:
        """Files and patterns of path; none where it is not set."""
        return [path for path in one_or_several(self.path, key="path") if path]

    @property
    def title(self) -> str:
        """Name in messages: of the data set or the files."""
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
        """True if anything but the tag and the languages is set, which a held-out set may have as well."""
        return replace(self, tag="", source_language="", target_language="") != CorpusConfig()

    @property
    def is_permanent(self) -> bool:
        """True if it takes part from a run's first update to its last."""
        return self.start <= 0 and self.end >= 1

    def takes_part(self, fraction_done: float) -> bool:
        """True if it is trained on when that fraction of the run is done."""
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
    def has_scores_as_sides(self) -> bool:
        return bool(self.score) and self.source == self.target == self.score

    @property
    def is_searched(self) -> bool:
        """True if the reader finds the two sides by itself, by their languages."""
        has_sides = self.format in (CorpusFormat.text, CorpusFormat.hub, CorpusFormat.squad)  # in any language
        return not has_sides and not (self.source and self.target)

    def check(self, key: str) -> None:
        """Raise UserError for options that are missing or make no sense, and files that are missing or read only once.

        key  of this configuration in errors, such as data.train
        """
        for name in ("skip", "take"):
            require_between(f"{key}.{name}", getattr(self, name), 0, _MOST_PAIRS)
        values = {**vars(self), "target": all(self.targets)}  # none of several may be empty
        is_one_given = bool(values["source"]) != values["target"]
        has_both = self.format in (CorpusFormat.text, CorpusFormat.hub) or is_one_given
        needed = ["source", "target"] if has_both else []
        if self.format is not CorpusFormat.text:
            needed.append("name" if self.format in _NAMED else "path")
        if missing := [name for name in needed if not values[name]]:
            options = " ".join(f"{key}.{name}=…" for name in missing)
            what = f"where the {self.format} corpus is"
            if self.format is not CorpusFormat.text and {"source", "target"}.issuperset(missing):
                what = f"which columns of the {self.format} corpus to read"
            if key in ("data.valid", "data.test"):
                what += f" (pairs are held out from data.train where no {key} option is set)"
            if self.format is CorpusFormat.text and len(missing) == 2:
                options += f", or {key}.path=… for a file with both sides"
            raise UserError(f"{key}: nothing says {what}; set {options}")
        for option, path in self._paths():
            require_regular(path, option=f"{key}.{option}")

    def _paths(self) -> Iterator[tuple[str, str]]:
        """Each file named by an option, with the option."""
        if self.labels:
            yield "labels", self.labels
        if self.format is CorpusFormat.text:
            yield from [("source", self.source), *(("target", path) for path in self.targets)]
            if self.score:
                yield "score", self.score
        elif self.format not in _NAMED:
            for path in self.paths:
                matches = [] if os.path.exists(path) else glob.glob(path, recursive=True)
                yield from (("path", match) for match in matches or [path])

    def content(self, hashes: list[str]) -> list[Any]:
        """Settings that, with the hashes of its files, determine its pairs: neither file names nor weights."""
        columns = [] if self.format is CorpusFormat.text else [self.source, self.target]
        if self.is_searched:
            columns += [self.source_language, self.target_language]
        # left out where they have their defaults, as in the fingerprints of runs that are older than these options
        part = [self.skip, self.take, self.every_answer] if self.is_part or self.every_answer else []
        return [self.format.value, hashes, columns, self.tag, *part]

    @property
    def share_of_training(self) -> Any:
        """Its weight and, if it takes part for a time only, that time: for the fingerprint of a run."""
        return self.weight if self.is_permanent else [self.weight, self.start, self.end]


def one_or_several(value: Any, *, key: str) -> list[str]:
    """The names in an option that is one name or a list of them; numbers (of columns) become text.

    For options of type Any, as OmegaConf does not know `str | list[str]`. Raises UserError for anything else, an empty
    list included.
    """
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str | int | float | Path) for name in names):
        raise UserError(f"{key}={value!r}: that is neither a name nor a list of names, as in {key}=[FIRST,SECOND]")
    return [str(name) for name in names]
