"""The corpora of one translation direction: their configuration, which sets they make, and their tags."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from translate.data.cleaning import CleaningConfig
from translate.data.corpora import CorpusConfig, phase_starts
from translate.errors import UserError
from translate.text import normalise

# PAD, UNK, BOS, EOS and bytes as SentencePiece writes them
_RESERVED = re.compile("<pad>|<unk>|</?s>|<0x[0-9A-F]{2}>")


@dataclass(kw_only=True)
class DataConfig:
    """The corpora of one translation direction.

    root, train_stem  for ${data.root} and ${data.train_stem} in file names
    cache       the folder for everything that prepare() makes
    additional  more training corpora, mixed in by their weight
    valid       held out from train when nothing says where it is, and so is test then
    test        absent when valid is given and nothing says where test is
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


def check_root(data: DataConfig) -> None:
    """Raise UserError if data.root, which the training text's file name begins with, is no folder."""
    root, train = Path(data.root), Path(data.train.path or data.train.source)
    if data.root and train.is_relative_to(root) and not root.exists():
        raise UserError(
            f"data.root={data.root}: there is no such folder (looked from {Path.cwd()}); name the corpus's folder, or "
            "your own text with data.train.source=… and data.train.target=…; the shipped corpus, data/en-de, is in the "
            "project's repository and not in its wheel"
        )


def training_corpora(data: DataConfig) -> list[tuple[str, CorpusConfig]]:
    """Each training corpus with the key of its configuration."""
    corpora = [("data.train", data.train)]
    corpora += [(f"data.additional[{index}]", corpus) for index, corpus in enumerate(data.additional)]
    for key, corpus in corpora:
        if not corpus.weight > 0:
            raise UserError(f"{key}.weight ({corpus.weight}) must be above 0; leave the corpus out instead")
        if len(corpus.targets) > 1:
            raise UserError(
                f"{key}.target names {len(corpus.targets)}: {', '.join(corpus.targets)}; training text has one target, "
                "several are references, which only data.valid and data.test can have"
            )
        if not 0 <= corpus.start < corpus.end <= 1:
            raise UserError(f"{key}.start ({corpus.start}) must be below {key}.end ({corpus.end}), both from 0 to 1")
    configs = [corpus for _, corpus in corpora]
    for share in phase_starts(configs):
        if not any(corpus.takes_part(share) for corpus in configs):
            raise UserError(f"no training corpus takes part after {share:.0%} of the run: see data.train.end")
    return corpora


def evaluation_corpora(data: DataConfig) -> list[tuple[str, CorpusConfig]]:
    """The validation and test sets that are given, each with the key of its configuration."""
    valid = [("data.valid", data.valid)] if data.valid.is_given else []
    return valid + ([("data.test", data.test)] if has_test(data) else [])


def sets_to_hold_out(data: DataConfig) -> list[str]:
    """Names of the sets to take from the training text; a test set only together with a validation set."""
    if data.valid.is_given:
        return []
    return ["valid"] if has_test(data) else ["valid", "test"]


def corpus_tags(data: DataConfig) -> list[str]:
    """The tags of all corpora, each once. Raises UserError for one that cannot be told from text."""
    tags = []
    for key, corpus in training_corpora(data) + evaluation_settings(data):
        tag = corpus.tag
        if tag and (len(tag) < 2 or tag != normalise(tag).strip() or _RESERVED.fullmatch(tag)):
            raise UserError(f"{key}.tag={tag!r}: a tag has two or more characters and no space around, such as <2de>")
        tags += [tag] if tag else []
    return list(dict.fromkeys(tags))


def has_untagged_source(data: DataConfig) -> bool:
    """True if a training corpus has no tag, so that lines without one are usual."""
    return any(not corpus.tag for _, corpus in training_corpora(data))


def evaluation_settings(data: DataConfig) -> list[tuple[str, CorpusConfig]]:
    """The settings of validation and test set, whether given or held out, with their keys."""
    return [("data.valid", data.valid), ("data.test", data.test)]


def has_test(data: DataConfig) -> bool:
    """True if a test set is given, or only options of it without its text: none is held out then."""
    if data.test.source or data.test.path:
        return True
    return data.test.is_given and not data.valid.is_given
