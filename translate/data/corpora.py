"""Corpora of one translation direction: their configuration, their tags, and when each takes part in training."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from translate.data.cleaning import CleaningConfig
from translate.data.filter_config import FilterConfig
from translate.errors import UserError, require_between
from translate.files import require_regular
from translate.tags import check_tag

_MOST_PAIRS = 2**48
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e4  # of a corpus, so that an epoch has pairs, and no more than memory holds


class CorpusFormat(StrEnum):
    text = "text"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"
    squad = "squad"
    hub = "hub"


@dataclass(kw_only=True)
class CorpusConfig:
    """One corpus of sentence pairs.

    source, target  text: one file each. Otherwise the column: a name, or for TSV without a header a number
                    from 1 (as in `cut -f`); a dotted name reaches into a record, such as translation.de.
                    Several references of a validation or test set: target=[FIRST,SECOND]
    path            tsv, jsonl, parquet, squad: the file, or a pattern such as corpus/*.parquet; .gz but for Parquet
    name, subset, split, revision  hub: as in datasets.load_dataset; a local folder may stand for the name
    skip, take      number of pairs left out at the beginning, and of pairs read after them; 0: all
    every_answer    squad: all right answers, separated by TAB, as a test set wants them; else the first
    weight          number of times that an epoch sees each pair of a training corpus
    start, end      fractions of the run between which a training corpus takes part
    tag             a symbol such as <bt> to put in front of every source sentence; "" for none
    labels          for a test set: a file with a line of TAB-separated labels for each pair; "" for none
    score           column of a score of each pair, written like source and target; "" for none
    filters         of a training corpus, over those of data.cleaning.filters
    """

    format: CorpusFormat = CorpusFormat.text
    source: str = ""
    target: Any = ""  # str, or list[str] of at least two
    path: str = ""
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

    def __post_init__(self) -> None:
        targets = one_or_several(self.target, key="target")
        self.target = targets[0] if len(targets) == 1 else targets  # x and [x] give one fingerprint

    @property
    def targets(self) -> list[str]:
        """All targets: the first is for training and the validation loss, all are references."""
        return self.target if isinstance(self.target, list) else [self.target]

    @property
    def prefix(self) -> str:
        """Tag and space in front of each source line; "" without a tag."""
        return f"{self.tag} " if self.tag else ""

    @property
    def is_given(self) -> bool:
        """True if anything but the tag is set."""
        return replace(self, tag="") != CorpusConfig()  # also of a held-out set, which may have a tag

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

    def check(self, key: str) -> None:
        """Raise UserError for options that are missing or make no sense, and files that are missing or read only once.

        key  of this configuration in errors, such as data.train
        """
        for name in ("skip", "take"):
            require_between(f"{key}.{name}", getattr(self, name), 0, _MOST_PAIRS)
        needed = [] if self.format is CorpusFormat.squad else ["source", "target"]
        if self.format is not CorpusFormat.text:
            needed.append("name" if self.format is CorpusFormat.hub else "path")
        values = {**vars(self), "target": all(self.targets)}  # none of several may be empty
        if missing := [name for name in needed if not values[name]]:
            options = " ".join(f"{key}.{name}=…" for name in missing)
            what = f"where the {self.format} corpus is"
            if self.format is not CorpusFormat.text and {"source", "target"}.issuperset(missing):
                what = f"which columns of the {self.format} corpus to read"
            if key in ("data.valid", "data.test"):
                what += f" (pairs are held out from data.train where no {key} option is set)"
            raise UserError(f"{key}: nothing says {what}; set {options}")
        for option, path in self._paths():
            require_regular(path, option=f"{key}.{option}")

    def _paths(self) -> Iterator[tuple[str, str]]:
        """Each file named by an option, with the option."""
        if self.labels:
            yield "labels", self.labels
        if self.format is CorpusFormat.text:
            yield from [("source", self.source), *(("target", path) for path in self.targets)]
        elif self.format is not CorpusFormat.hub:
            matches = [] if os.path.exists(self.path) else glob.glob(self.path, recursive=True)
            yield from (("path", path) for path in matches or [self.path])

    def content(self, hashes: list[str]) -> list[Any]:
        """Settings that, with the hashes of its files, determine its pairs: neither file names nor weights."""
        columns = [] if self.format is CorpusFormat.text else [self.source, self.target]
        # left out where they have their defaults, as in the fingerprints of runs that are older than these options
        part = [self.skip, self.take, self.every_answer] if self.is_part or self.every_answer else []
        return [self.format.value, hashes, columns, self.tag, *part]

    @property
    def share_of_training(self) -> Any:
        """Its weight and, if it takes part for a time only, that time: for the fingerprint of a run."""
        return self.weight if self.is_permanent else [self.weight, self.start, self.end]


KeyedCorpora = list[tuple[str, CorpusConfig]]  # corpora with the keys of their configurations, such as data.train


def phase_starts(corpora: Sequence[CorpusConfig]) -> list[float]:
    """Fractions of a run at which corpora come or go, in order, 0 the first."""
    return sorted({0.0, *(bound for corpus in corpora for bound in (corpus.start, corpus.end) if bound < 1)})


def one_or_several(value: Any, *, key: str) -> list[str]:
    """The names in an option that is one name or a list of them; numbers (of columns) become text.

    For options of type Any, as OmegaConf does not know `str | list[str]`. Raises UserError for anything else, an empty
    list included.
    """
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str | int | float | Path) for name in names):
        raise UserError(f"{key}={value!r}: that is neither a name nor a list of names, as in {key}=[FIRST,SECOND]")
    return [str(name) for name in names]


@dataclass(kw_only=True)
class DataConfig:
    """The corpora of one translation direction.

    root, train_stem  for ${data.root} and ${data.train_stem} in file names
    cache       folder for everything that prepare() makes
    additional  more training corpora, mixed in by their weight
    valid       held out from train where none is given, and so is test then
    test        none if valid is given and test is not
    """

    source_language: str = ""
    target_language: str = ""
    root: str = ""
    train_stem: str = "train"
    cache: str = "data/cache"
    train: CorpusConfig = field(default_factory=CorpusConfig)
    additional: list[CorpusConfig] = field(default_factory=list)
    valid: CorpusConfig = field(default_factory=CorpusConfig)
    test: CorpusConfig = field(default_factory=CorpusConfig)
    cleaning: CleaningConfig = field(default_factory=CleaningConfig)

    @property
    def training_corpora(self) -> KeyedCorpora:
        """Each training corpus with the key of its configuration."""
        additional = [(f"data.additional[{index}]", corpus) for index, corpus in enumerate(self.additional)]
        return [("data.train", self.train), *additional]

    @property
    def evaluation_settings(self) -> KeyedCorpora:
        """Settings of the validation and test set, whether given or held out, with their keys."""
        return [("data.valid", self.valid), ("data.test", self.test)]

    @property
    def evaluation_corpora(self) -> KeyedCorpora:
        """The validation and test sets that are given."""
        is_given = {"data.valid": self.valid.is_given, "data.test": self.has_test}
        return [(key, corpus) for key, corpus in self.evaluation_settings if is_given[key]]

    @property
    def has_test(self) -> bool:
        """True if a test set is given, or only options of it without its text: none is held out then."""
        if self.test.source or self.test.path:
            return True
        return self.test.is_given and not self.valid.is_given

    @property
    def sets_to_hold_out(self) -> list[str]:
        """Names of the sets to take from the training text; a test set only together with a validation set."""
        if self.valid.is_given:
            return []
        return ["valid"] if self.has_test else ["valid", "test"]

    @property
    def tags(self) -> list[str]:
        """The tags of all corpora, each once."""
        return list(dict.fromkeys(corpus.tag for _, corpus in self._corpora if corpus.tag))

    @property
    def has_untagged_source(self) -> bool:
        """True if a training corpus has no tag, so that lines without one are usual."""
        return any(not corpus.tag for _, corpus in self.training_corpora)

    @property
    def _corpora(self) -> KeyedCorpora:
        return self.training_corpora + self.evaluation_settings

    def check(self) -> None:
        """Raise UserError for settings of corpora that do not go together, or a missing data.root."""
        self._check_root()
        self.cleaning.check()
        if not self.cache:
            raise UserError("data.cache is empty: name a folder for what is made of the data")
        for key, corpus in self._corpora:
            check_tag(f"{key}.tag", corpus.tag)
        for key, corpus in self.training_corpora:
            _check_training_corpus(key, corpus)
        for key, corpus in self.evaluation_settings:
            if corpus.filters != FilterConfig():
                raise UserError(f"{key}.filters: only training text is cleaned; set data.train.filters")
        if self.cleaning.filters.min_score is not None and not any(corpus.score for _, corpus in self.training_corpora):
            raise UserError(
                "data.cleaning.filters.min_score: no corpus names its column of scores: set data.train.score=…"
            )
        configs = [corpus for _, corpus in self.training_corpora]
        for start in phase_starts(configs):  # between two of them the mix stays as it is
            if not any(corpus.takes_part(start) for corpus in configs):
                raise UserError(f"no training corpus takes part after {start:.0%} of the run: see data.train.end")

    def check_files(self) -> None:
        """Raise UserError for corpora that are not there or cannot be read twice."""
        for key, corpus in self.training_corpora + self.evaluation_corpora:
            corpus.check(key)

    def _check_root(self) -> None:
        """Raise UserError if data.root, which the training text's file name begins with, is no folder."""
        root, train = Path(self.root), Path(self.train.path or self.train.source)
        if self.root and train.is_relative_to(root) and not root.exists():
            raise UserError(
                f"data.root={self.root}: no such folder (from {Path.cwd()}); name the corpus's folder, or your own "
                "text with data.train.source=… and data.train.target=…; the shipped corpus, data/en-de, is in the "
                "project's repository and not in its wheel"
            )


def _check_training_corpus(key: str, corpus: CorpusConfig) -> None:
    require_between(f"{key}.weight", corpus.weight, LEAST_WEIGHT, MOST_WEIGHT)
    corpus.filters.check(f"{key}.filters")
    if corpus.filters.min_score is not None and not corpus.score:
        raise UserError(f"{key}.filters.min_score: set {key}.score to the column of the scores")
    if len(corpus.targets) > 1:
        raise UserError(
            f"{key}.target names {len(corpus.targets)}: {', '.join(corpus.targets)}; training text has one target, "
            "several are references, which only data.valid and data.test can have"
        )
    if not 0 <= corpus.start < corpus.end <= 1:
        raise UserError(f"{key}.start ({corpus.start}) must be below {key}.end ({corpus.end}), both from 0 to 1")


@dataclass
class ParallelText:
    """A validation or test set: N pairs as their files hold them, with the tag in front of each source line.

    target              N lines, the reference; of several, the first
    further_references  N lines of each of the others
    labels              of each pair, or None
    tag                 the tag in front of each source line; "" for none
    reference_paths     the files of all references when those are plain text, else none
    """

    name: str
    source: list[str]
    target: list[str]
    labels: list[list[str]] | None
    reference_paths: list[str]
    further_references: list[list[str]] = field(default_factory=list)
    tag: str = ""

    @property
    def references(self) -> list[list[str]]:
        return [self.target, *self.further_references]

    def __len__(self) -> int:
        return len(self.source)
