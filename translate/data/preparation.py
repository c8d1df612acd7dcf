"""From corpora to a tokenizer and memory-mapped training data, each made once and cached by content."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from translate.data.clean_text import CHUNK_PAIRS, CleanText, write_clean_text
from translate.data.cleaning import CleaningConfig, CleaningReport
from translate.data.corpora import CorpusConfig, CorpusFormat, content_hashes, phase_starts
from translate.data.encoded import EncodedCorpus, write_encoded
from translate.data.references import read_references
from translate.data.sentence_counts import usual_limits
from translate.data.storage import Ragged, building, digest
from translate.errors import UserError
from translate.text import read_lines
from translate.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer

_FORMAT_VERSION = 1  # of everything in the cache: raise it when the same input gives other files

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class DataConfig:
    """The corpora of one translation direction.

    root, train_stem  not read here: for ${data.root} and ${data.train_stem} in file names
    cache       the folder for everything that prepare() makes
    additional  more training corpora, mixed in by their weight
    test        absent when nothing says where it is
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


@dataclass
class ParallelText:
    """A validation or test set as it is in its files; its tag, if it has one, stands before each source.

    target              the reference; of several, the first
    further_references  the others, as many lines each
    labels              of each pair, or None
    reference_paths     the files of all references when those are plain text, else none
    """

    name: str
    source: list[str]
    target: list[str]
    labels: list[list[str]] | None
    reference_paths: list[str]
    further_references: list[list[str]] = field(default_factory=list)

    @property
    def references(self) -> list[list[str]]:
        return [self.target, *self.further_references]

    def __len__(self) -> int:
        return len(self.source)


@dataclass
class Prepared:
    """All that training needs to know of data; fingerprint changes with any of it, tokenizer included.

    sentences_per_line, trained_tokens  the most that source lines usually have: see usual_limits
    """

    tokenizer: Tokenizer
    train: EncodedCorpus
    valid: ParallelText
    test: ParallelText | None
    fingerprint: str
    cleaning: CleaningReport
    sentences_per_line: int
    trained_tokens: int


def prepare(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer) -> Prepared:
    """Clean and encode the training text, build its tokenizer unless there is one, read validation and test sets.

    What was made before from the same content and settings is taken from data.cache. Raises UserError for
    whatever is wrong with the files or the configuration.
    """
    corpora = training_corpora(data)
    hashes = {name: content_hashes(corpus, key=name) for name, corpus in evaluation_corpora(data) + corpora}
    valid = read_parallel_text(data.valid, key="data.valid")
    test = read_parallel_text(data.test, key="data.test") if has_test(data) else None

    clean_key = digest([_FORMAT_VERSION, *_content(corpora, hashes), _cleaning_before_tokens(data.cleaning)])
    text = _clean_text(data, clean_key)
    if isinstance(tokenizer, Tokenizer):
        built = tokenizer
        _require_tags(built, corpora)
    else:
        built = _tokenizer(data, _with_tags(tokenizer, corpora), text, clean_key)
    encoded_key = digest([clean_key, built.hash, data.cleaning.max_tokens])
    train = _encoded(data, text, built, encoded_key)

    fingerprint = digest([encoded_key, _mix(corpora), *_content(evaluation_corpora(data), hashes)])
    sentences, tokens = usual_limits(train, language=data.source_language, cache=Path(data.cache), key=encoded_key)
    return Prepared(built, train, valid, test, fingerprint, train.report, sentences, tokens)


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
    """Validation set and, if there is one, test set, each with the key of its configuration."""
    return [("data.valid", data.valid)] + ([("data.test", data.test)] if has_test(data) else [])


def has_test(data: DataConfig) -> bool:
    return bool(data.test.source or data.test.path)


def read_parallel_text(config: CorpusConfig, *, key: str) -> ParallelText:
    """A whole validation or test set; UserError also when its labels are not as many as its pairs."""
    source, references = read_references(config, key=key)
    prefix = f"{config.tag} " if config.tag else ""
    labels = None
    if config.labels:
        lines = islice(read_lines(config.labels), config.skip, config.last)
        labels = [line.split("\t") if line else [] for line in lines]
        if len(labels) != len(source):
            raise UserError(
                f"{key}.labels: {config.labels} has {len(labels):,} lines for {len(source):,} sentence pairs"
            )
    is_compressed = any(target.endswith(".gz") for target in config.targets)
    is_plain = config.format is CorpusFormat.text and not is_compressed and not config.is_part
    return ParallelText(
        name=key.removeprefix("data."),
        source=[prefix + line for line in source],
        target=references[0],
        labels=labels,
        reference_paths=config.targets if is_plain else [],
        further_references=references[1:],
    )


def _clean_text(data: DataConfig, key: str) -> CleanText:
    directory = Path(data.cache) / f"text-{key[:16]}"
    with building(directory) as folder:
        if folder is not None:
            started = time.monotonic()
            report = write_clean_text(folder, training_corpora(data), data.cleaning)
            _log_time("cleaned", report.total, started)
    text = CleanText.load(directory)
    _require_pairs(text.report)
    return text


def _tokenizer(data: DataConfig, config: TokenizerConfig, text: CleanText, clean_key: str) -> Tokenizer:
    key = digest([clean_key, asdict(config), sentencepiece.__version__])
    directory = Path(data.cache) / f"tokenizer-{key[:16]}"
    with building(directory) as folder:
        if folder is not None:
            started = time.monotonic()
            rows = sample_rows(len(text.kept), config.max_sentences, config.seed)
            rows = text.kept[rows]
            train_tokenizer(config, _lines(text.source, rows), _lines(text.target, rows)).save(folder)
            _log_time("learned the vocabulary from", len(rows), started)
    return Tokenizer.load(directory)


def _encoded(data: DataConfig, text: CleanText, tokenizer: Tokenizer, key: str) -> EncodedCorpus:
    corpora = training_corpora(data)
    directory = Path(data.cache) / f"tokens-{key[:16]}"
    with building(directory) as folder:
        if folder is not None:
            started = time.monotonic()
            write_encoded(
                folder,
                text,
                tokenizer=tokenizer,
                max_tokens=data.cleaning.max_tokens,
                names=[name for name, _ in corpora],
            )
            _log_time("encoded", len(text.kept), started)
    encoded = EncodedCorpus(directory, text, tokenizer=tokenizer, corpora=[corpus for _, corpus in corpora])
    _require_pairs(encoded.report)
    return encoded


def sample_rows(count: int, size: int, seed: int) -> np.ndarray:
    """`size` of the numbers below `count`, in order, drawn with the seed; all if there are no more."""
    if size >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))


def _lines(text: Ragged, rows: np.ndarray) -> Iterator[str]:
    for start in range(0, len(rows), CHUNK_PAIRS):
        yield from text.texts(rows[start : start + CHUNK_PAIRS])
        text.release()


def _with_tags(config: TokenizerConfig, corpora: list[tuple[str, CorpusConfig]]) -> TokenizerConfig:
    tags = [corpus.tag for _, corpus in corpora if corpus.tag]
    return replace(config, user_symbols=list(dict.fromkeys([*config.user_symbols, *tags])))


def _require_tags(tokenizer: Tokenizer, corpora: list[tuple[str, CorpusConfig]]) -> None:
    known = set(tokenizer.source_pieces(range(tokenizer.source_vocab_size)))
    for key, corpus in corpora:
        if corpus.tag and corpus.tag not in known:
            raise UserError(f"{key}.tag={corpus.tag}: the model's tokenizer has no such symbol")


def _content(corpora: list[tuple[str, CorpusConfig]], hashes: dict[str, list[str]]) -> list[Any]:
    """What of these corpora decides the pairs they give: not the files' names, nor the weights."""
    content = []
    for key, corpus in corpora:
        is_text = corpus.format is CorpusFormat.text
        columns = [] if is_text else [corpus.source, corpus.target]
        part = [corpus.skip, corpus.take, corpus.every_answer] if corpus.is_part or corpus.every_answer else []
        content.append([corpus.format.value, hashes[key], columns, corpus.tag, *part])
    return content


def _mix(corpora: list[tuple[str, CorpusConfig]]) -> list[Any]:
    """How much of each corpus an epoch sees, and when."""
    return [
        corpus.weight if corpus.is_permanent else [corpus.weight, corpus.start, corpus.end] for _, corpus in corpora
    ]


def _cleaning_before_tokens(config: CleaningConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name != "max_tokens"}


def _require_pairs(report: CleaningReport) -> None:
    if not report.kept:
        raise UserError(f"cleaning left no training pairs (see data.cleaning):\n{report.table()}")


def _log_time(what: str, pairs: int, started: float) -> None:
    seconds = time.monotonic() - started
    logger.info("%s %s pairs in %.1f s", what, f"{pairs:,}", seconds)
