"""From corpora to a tokenizer and memory-mapped training data, each made once and cached by content."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from translate.data.clean_text import CHUNK_PAIRS, CleanText, write_clean_text
from translate.data.cleaning import CleaningConfig, CleaningReport
from translate.data.corpora import CorpusConfig, CorpusFormat, Snapshot, phase_starts
from translate.data.encoded import EncodedCorpus, write_encoded
from translate.data.references import read_references
from translate.data.sentence_counts import usual_limits
from translate.data.storage import Ragged, digest
from translate.errors import UserError
from translate.files import building
from translate.target_unicode import TargetUnicode
from translate.text import TEXT_FORM, read_lines
from translate.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer

_FORMAT_VERSION = 2  # of everything in the cache: raise it when the same input gives other files

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
    target_unicode  the form of the training target, which translations are written in
    snapshot  the files that the fingerprint stands for, as they were when they were hashed
    """

    tokenizer: Tokenizer
    train: EncodedCorpus
    valid: ParallelText
    test: ParallelText | None
    fingerprint: str
    cleaning: CleaningReport
    sentences_per_line: int
    trained_tokens: int
    snapshot: Snapshot
    target_unicode: TargetUnicode = field(default_factory=TargetUnicode)


def prepare(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer) -> Prepared:
    """Clean and encode the training text, build its tokenizer unless there is one, read validation and test sets.

    A tokenizer that is given reads text in the form that it was trained with. What was made before from the same
    content and settings is taken from data.cache. Raises UserError for whatever is wrong with the files or the
    configuration.
    """
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer.check()
    corpora = training_corpora(data)
    snapshot = Snapshot.take(evaluation_corpora(data) + corpora)
    hashes = snapshot.hashes
    valid = read_parallel_text(data.valid, key="data.valid")
    test = read_parallel_text(data.test, key="data.test") if has_test(data) else None
    snapshot.require_unchanged(evaluation_corpora(data))

    text_form = tokenizer.text_form if isinstance(tokenizer, Tokenizer) else TEXT_FORM
    # runs of text form 1 began when the cache's first format stood here: their fingerprints must not change
    text_key = digest([text_form, *_content(corpora, hashes), _cleaning_before_tokens(data.cleaning)])
    text = _clean_text(data, text_form, text_key, snapshot)
    if isinstance(tokenizer, Tokenizer):
        built = tokenizer
        _require_tags(built, corpora)
    else:
        built = _tokenizer(data, _with_tags(tokenizer, corpora), text, text_key)
    encoded_key = digest([text_key, built.hash, data.cleaning.max_tokens])
    train = _encoded(data, text, built, encoded_key)

    fingerprint = digest([encoded_key, _mix(corpora), *_content(evaluation_corpora(data), hashes)])
    sentences, tokens = usual_limits(train, language=data.source_language, cache=Path(data.cache), key=encoded_key)
    return Prepared(
        tokenizer=built,
        train=train,
        valid=valid,
        test=test,
        fingerprint=fingerprint,
        cleaning=train.report,
        sentences_per_line=sentences,
        trained_tokens=tokens,
        snapshot=snapshot,
        target_unicode=text.target_unicode,
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


def _cached(data: DataConfig, kind: str, key: str) -> Path:
    """The folder in the cache for something made from what the key stands for."""
    return Path(data.cache) / f"{kind}-{digest([_FORMAT_VERSION, key])[:16]}"


def _clean_text(data: DataConfig, text_form: int, key: str, snapshot: Snapshot) -> CleanText:
    directory = _cached(data, "text", key)
    with building(directory, option="data.cache", waiting_for="prepare the same data") as folder:
        if folder is not None:
            started = time.monotonic()
            report = write_clean_text(folder, training_corpora(data), data.cleaning, text_form=text_form)
            snapshot.require_unchanged(training_corpora(data))  # the folder is named after their hashes
            _log_time("cleaned", report.total, started)
    text = CleanText.load(directory)
    _require_pairs(text.report)
    return text


def _tokenizer(data: DataConfig, config: TokenizerConfig, text: CleanText, text_key: str) -> Tokenizer:
    weights = _sampling_weights(training_corpora(data))
    key = digest([text_key, asdict(config), weights, sentencepiece.__version__])
    directory = _cached(data, "tokenizer", key)
    with building(directory, option="data.cache", waiting_for="prepare the same data") as folder:
        if folder is not None:
            started = time.monotonic()
            rows = text.kept[sample_rows(text.corpus[text.kept], weights, config.sample_size, config.seed)]
            train_tokenizer(config, _Lines(text.source, rows), _Lines(text.target, rows)).save(folder)
            _log_time("learned the vocabulary from", len(rows), started)
    tokenizer = Tokenizer.load(directory)
    _report_size(tokenizer, config)
    return tokenizer


def _sampling_weights(corpora: list[tuple[str, CorpusConfig]]) -> list[float]:
    """How often a pair of each corpus stands in the tokenizer's sample where there is room for all."""
    weights = [corpus.weight for _, corpus in corpora]
    if min(weights) == max(weights):
        return [1.0] * len(weights)
    return [weight / min(1.0, max(weights)) for weight in weights]


def _report_size(tokenizer: Tokenizer, config: TokenizerConfig) -> None:
    sizes = tokenizer.source_vocab_size, tokenizer.target_vocab_size
    names = ("the vocabulary",) if config.joint else ("the source vocabulary", "the target vocabulary")
    for name, size, asked in zip(names, sizes, config.sizes, strict=False):
        if size < asked:
            logger.info("%s has %s pieces, not %s: the training text supports no more", name, f"{size:,}", f"{asked:,}")


def _encoded(data: DataConfig, text: CleanText, tokenizer: Tokenizer, key: str) -> EncodedCorpus:
    corpora = training_corpora(data)
    directory = _cached(data, "tokens", key)
    with building(directory, option="data.cache", waiting_for="prepare the same data") as folder:
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


def sample_rows(corpus: NDArray[np.integer], weights: Sequence[float], size: int, seed: int) -> NDArray[np.int64]:
    """About `size` row numbers in order, drawn with the seed; corpus (N,) says which corpus each row is of.

    Where there is room for all rows by their corpora's weights, one of weight 2 stands there twice, and of weight 0.1
    every tenth.
    """
    random = np.random.default_rng(seed)
    wanted = np.bincount(corpus, minlength=len(weights)) @ np.array(weights)
    times = np.zeros(len(corpus), np.int32)
    for number, weight in enumerate(weights):
        rows = np.flatnonzero(corpus == number)
        copies, share = divmod(weight * min(1.0, size / wanted), 1)
        times[rows] = int(copies)
        times[random.choice(rows, round(share * len(rows)), replace=False)] += 1
    return np.repeat(np.arange(len(corpus)), times)


@dataclass(frozen=True)
class _Lines:
    """The texts of some rows, which can be read again and again."""

    text: Ragged
    rows: NDArray[np.int64]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self.rows), CHUNK_PAIRS):
            yield from self.text.texts(self.rows[start : start + CHUNK_PAIRS])
            self.text.release()


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
