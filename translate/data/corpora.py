"""Corpora of one translation direction: training text, validation and test sets, and their tags."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from translate.data.cleaning import CleaningConfig
from translate.data.context import MOST_LINES
from translate.data.corpus import LEAST_WEIGHT, MOST_WEIGHT, CorpusConfig
from translate.data.languages import Direction, directions_of, name_of_direction, target_languages
from translate.errors import UserError, excerpt, require_between
from translate.tags import check_tag

_SET_NAME = re.compile(r"\w[\w.+-]{0,99}")
KeyedCorpora = list[tuple[str, CorpusConfig]]  # corpora with the keys of their configurations, such as data.train


def phase_starts(corpora: Sequence[CorpusConfig]) -> list[float]:
    """Fractions of a run at which corpora come or go, in order, 0 the first."""
    return sorted({0.0, *(bound for corpus in corpora for bound in (corpus.start, corpus.end) if bound < 1)})


@dataclass(kw_only=True)
class DataConfig:
    """The corpora of one translation direction.

    root, train_stem  for ${data.root} and ${data.train_stem} in file names
    cache       folder for everything that prepare() makes
    additional  more training corpora, mixed in by their weight
    valid       held out from train where none is given, and so is test then
    test        none if valid is given and test is not
    further_valid  validation sets of the other directions, for a model of several target languages
    further_tests  more test sets, each scored at the end of a run under its name
    context        number of previous lines that the model reads in front of each source line: context.py
    reverse_target  the model writes target tokens from the last to the first
    temperature    1: directions are seen in proportion to their pairs; above, smaller ones more often: languages.py
    """

    source_language: str = ""
    target_language: str = ""
    root: str = ""
    train_stem: str = "train"
    cache: str = "data/cache"
    train: CorpusConfig = field(default_factory=CorpusConfig)
    additional: list[CorpusConfig] = field(default_factory=list)
    valid: CorpusConfig = field(default_factory=CorpusConfig)
    further_valid: list[CorpusConfig] = field(default_factory=list)
    test: CorpusConfig = field(default_factory=CorpusConfig)
    further_tests: list[CorpusConfig] = field(default_factory=list)
    context: int = 0
    reverse_target: bool = False
    temperature: float = 1.0
    cleaning: CleaningConfig = field(default_factory=CleaningConfig)

    @property
    def training_corpora(self) -> KeyedCorpora:
        """Each training corpus with the key of its configuration."""
        additional = [(f"data.additional[{index}]", self._with_languages(x)) for index, x in enumerate(self.additional)]
        return [("data.train", self._with_languages(self.train)), *additional]

    @property
    def evaluation_settings(self) -> KeyedCorpora:
        """Settings of the validation set and all test sets, whether given or held out, with their keys."""
        valid = [(f"data.further_valid[{index}]", corpus) for index, corpus in enumerate(self.further_valid)]
        tests = [(f"data.further_tests[{index}]", corpus) for index, corpus in enumerate(self.further_tests)]
        corpora = [("data.valid", self.valid), *valid, ("data.test", self.test), *tests]
        return [(key, self._with_languages(corpus)) for key, corpus in corpora]

    @property
    def evaluation_corpora(self) -> KeyedCorpora:
        """The validation and test sets that are given."""
        is_given = {"data.valid": self.valid.is_given, "data.test": self.has_test}
        return [(key, corpus) for key, corpus in self.evaluation_settings if is_given.get(key, True)]

    def _with_languages(self, corpus: CorpusConfig) -> CorpusConfig:
        """The corpus with the context of the data, and its languages where it has none of its own."""
        return replace(
            corpus,
            context=self.context,
            source_language=corpus.source_language or self.source_language,
            target_language=corpus.target_language or self.target_language,
        )

    @property
    def has_test(self) -> bool:
        """True if a test set is given, or only options of it without its text: none is held out then."""
        if self.test.source or self.test.paths or self.test.name:
            return True
        return self.test.is_given and not self.valid.is_given

    @property
    def directions(self) -> list[Direction]:
        """Directions that have sets of their own: with several target languages or data.further_valid; else none."""
        found = directions_of([corpus for _, corpus in self.training_corpora])
        return found if self.further_valid or len(target_languages(found)) > 1 else []

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target language; "" for one that is not known, or for several."""
        if not (directions := self.directions):
            return self.source_language, self.target_language
        sources, targets = {each.source_language for each in directions}, {each.target_language for each in directions}
        return (sources.pop() if len(sources) == 1 else ""), (targets.pop() if len(targets) == 1 else "")

    @property
    def sets_to_hold_out(self) -> dict[str, int]:
        """Names of the sets to take from the training text, each with the index of its corpus.

        A test set only together with a validation set; both of each direction where there are several target languages.
        """
        if self.valid.is_given:
            return {}
        kinds = ["valid"] if self.has_test else ["valid", "test"]
        if not (directions := self.directions):
            return dict.fromkeys(kinds, 0)
        return {f"{kind}.{each.name}": each.corpora[0] for each in directions for kind in kinds}

    def direction_of(self, corpus: CorpusConfig) -> str:
        """Name of a corpus's direction where there are several; else ""."""
        return name_of_direction(corpus.source_language, corpus.target_language) if self.directions else ""

    def name_of(self, key: str, corpus: CorpusConfig) -> str:
        """Name of a validation or test set in scores; that of its direction where there are several target languages.

        key  of its configuration
        """
        if not self.directions or key.startswith("data.further_tests"):
            return name_of_set(key, corpus)
        return self.direction_of(corpus)

    def title_of(self, key: str, corpus: CorpusConfig) -> str:
        """Name of a validation or test set that no other set has, of either kind."""
        if not self.directions or key.startswith("data.further_tests"):
            return name_of_set(key, corpus)
        return f"{'valid' if is_validation(key) else 'test'}.{self.name_of(key, corpus)}"

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
        require_between("data.context", self.context, 0, MOST_LINES)
        if not self.cache:
            raise UserError("data.cache is empty: name a folder for what is made of the data")
        for key, corpus in self._corpora:
            check_tag(f"{key}.tag", corpus.tag)
        for key, corpus in self.training_corpora:
            _check_training_corpus(key, corpus)
        self._check_filters()
        if not self.directions:  # else names are of languages, which files may have to say: direction.py
            self.check_names()
        self._check_mix()
        configs = [corpus for _, corpus in self.training_corpora]
        for start in phase_starts(configs):  # between two of them the mix stays as it is
            if not any(corpus.takes_part(start) for corpus in configs):
                raise UserError(f"no training corpus takes part after {start:.0%} of the run: see data.train.end")

    def _check_filters(self) -> None:
        for key, corpus in self.evaluation_settings:
            for name in (name for name, value in vars(corpus.filters).items() if value is not None):
                raise UserError(f"{key}.filters.{name}: only training text is cleaned; set data.train.filters.{name}")
        for key, corpus in self.training_corpora:
            corpus.filters.check(f"{key}.filters")
            if corpus.filters.min_score is not None and not corpus.score:
                raise UserError(f"{key}.filters.min_score: {key}.score must name the column of the scores")
        if self.cleaning.filters.min_score is not None and not any(corpus.score for _, corpus in self.training_corpora):
            raise UserError("data.cleaning.filters.min_score: no training corpus has scores: set data.train.score=…")

    def check_names(self) -> None:
        """Raise UserError unless the names of all sets differ and can be those of folders."""
        sets = self.evaluation_settings if not self.directions else self.evaluation_corpora
        held_out = list(self.sets_to_hold_out) if self.directions else []
        _check_names(["train", *held_out, *(self.title_of(key, corpus) for key, corpus in sets)])
        tests = [name.removeprefix("test.") for name in held_out if name.startswith("test.")]
        _check_names([*tests, *(self.name_of(key, corpus) for key, corpus in sets if not is_validation(key))])

    def _check_mix(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 1):
            raise UserError(
                f"data.temperature ({self.temperature}) must be 1 or more: 1 is in proportion to the pairs of each "
                "direction, 5 is usual"
            )
        if self.further_valid and not self.valid.is_given:
            raise UserError("data.further_valid is for the other directions, beside data.valid: set data.valid as well")

    def check_files(self) -> None:
        """Raise UserError for corpora that are not there or cannot be read twice."""
        for key, corpus in self.training_corpora + self.evaluation_corpora:
            corpus.check(key)

    def _check_root(self) -> None:
        """Raise UserError if data.root, which the training text's file name begins with, is no folder."""
        root, train = Path(self.root), Path(next(iter(self.train.paths), self.train.source))
        if self.root and train.is_relative_to(root) and not root.exists():
            raise UserError(
                f"data.root={self.root}: no such folder (from {Path.cwd()}); name the corpus's folder, or your own "
                "text with data.train.source=… and data.train.target=…; the shipped corpus, data/en-de, is in the "
                "project's repository and not in its wheel"
            )


def _check_training_corpus(key: str, corpus: CorpusConfig) -> None:
    require_between(f"{key}.weight", corpus.weight, LEAST_WEIGHT, MOST_WEIGHT)
    if len(corpus.targets) > 1:
        raise UserError(
            f"{key}.target names {len(corpus.targets)}: {', '.join(corpus.targets)}; training text has one target, "
            "several are references, which only data.valid and data.test can have"
        )
    if not 0 <= corpus.start < corpus.end <= 1:
        raise UserError(f"{key}.start ({corpus.start}) must be below {key}.end ({corpus.end}), both from 0 to 1")


def is_validation(key: str) -> bool:
    """True for the key of a validation set, also of one that is held out."""
    return key.startswith(("data.valid", "data.further_valid"))


def name_of_set(key: str, corpus: CorpusConfig) -> str:
    """Name of a validation or test set in reports; key: of its configuration."""
    if key in ("data.valid", "data.test"):
        return key.removeprefix("data.")
    file = next(iter(corpus.paths), corpus.source)
    return (corpus.name or Path(file).stem).replace("/", "-")


def _check_names(names: Sequence[str]) -> None:
    """Raise UserError unless these names of test sets differ and can be those of folders."""
    for index, name in enumerate(names):
        if not _SET_NAME.fullmatch(name) or name in names[:index]:
            why = "is the name of another set" if name in names[:index] else "cannot be the name of a folder"
            raise UserError(f"{excerpt(name)!r} {why}: set name=… of each of data.further_tests, as in test2014")


@dataclass
class ParallelText:
    """A validation or test set: N pairs as their files hold them, with the tag in front of each source line.

    target              N lines, the reference; of several, the first
    further_references  N lines of each of the others
    labels              of each pair, or None
    tag                 the tag in front of each source line; "" for none
    key                 of its configuration, such as data.valid; that of a held-out set ends in its direction
    languages           source and target, "" for one that is not known
    reference_paths     the files of all references when those are plain text, else none
    """

    name: str
    source: list[str]
    target: list[str]
    labels: list[list[str]] | None
    reference_paths: list[str]
    further_references: list[list[str]] = field(default_factory=list)
    tag: str = ""
    key: str = ""
    languages: tuple[str, str] = ("", "")

    @property
    def references(self) -> list[list[str]]:
        return [self.target, *self.further_references]

    def __len__(self) -> int:
        return len(self.source)
