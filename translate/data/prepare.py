"""From corpora to a tokenizer and memory-mapped training data, each made once and cached by content."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import sentencepiece

from translate.data.clean_text import CleanText, write_clean_text
from translate.data.cleaning import CleaningConfig, CleaningReport
from translate.data.config import (
    DataConfig,
    check_root,
    corpus_tags,
    evaluation_corpora,
    evaluation_settings,
    sets_to_hold_out,
    training_corpora,
)
from translate.data.corpora import CorpusConfig, CorpusFormat
from translate.data.encoded import EncodedCorpus, write_encoded
from translate.data.held_out import VERSION as HELD_OUT_VERSION
from translate.data.held_out import HeldOut, load_held_out
from translate.data.references import read_references
from translate.data.sentence_counts import usual_limits
from translate.data.snapshot import Snapshot
from translate.data.storage import building_in_cache, digest
from translate.data.tokenizer_sample import RowTexts, sample_rows, sampling_weights
from translate.errors import UserError
from translate.target_unicode import TargetUnicode
from translate.text import TEXT_FORM, read_lines
from translate.tokenizer import Tokenizer, TokenizerConfig
from translate.tokenizer_training import train_tokenizer

_FORMAT_VERSION = 2  # of everything in the cache: raise it when the same input gives other files
logger = logging.getLogger(__name__)


@dataclass
class ParallelText:
    """A validation or test set of N pairs as it is in its files, with its tag in front of each source line.

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


@dataclass
class Prepared:
    """All that training needs to know of data; fingerprint changes with any of it, tokenizer included.

    sentences_per_line, trained_tokens  limits of usual source lines: see usual_limits
    target_unicode  Unicode form of the training target, which translations are written in
    evaluation      corpora of valid and test, with the keys of their configurations
    held_out        the sets taken from the training text, None if valid is given
    snapshot        state of the corpora's files when they were hashed
    """

    tokenizer: Tokenizer
    train: EncodedCorpus
    valid: ParallelText
    test: ParallelText | None
    fingerprint: str
    cleaning: CleaningReport
    sentences_per_line: int
    trained_tokens: int
    evaluation: list[tuple[str, CorpusConfig]]
    snapshot: Snapshot
    held_out: HeldOut | None = None
    target_unicode: TargetUnicode = field(default_factory=TargetUnicode)


def prepare(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer) -> Prepared:
    """Clean and encode the training text, build its tokenizer unless there is one, read validation and test sets.

    A tokenizer that is given reads text in the form that it was trained with. What was made before from the same
    content and settings is taken from data.cache. Raises UserError for whatever is wrong with the files or the
    configuration.
    """
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer.check()
    check_root(data)
    corpus_tags(data)  # for its errors
    corpora, given = training_corpora(data), evaluation_corpora(data)
    snapshot = Snapshot.take(given + corpora)
    hashes = snapshot.hashes
    texts = {name: read_parallel_text(corpus, key=name) for name, corpus in given}
    snapshot.require_unchanged(texts)

    hold_out = sets_to_hold_out(data)
    choice = [["held out", HELD_OUT_VERSION, hold_out]] if hold_out else []
    text_form = tokenizer.text_form if isinstance(tokenizer, Tokenizer) else TEXT_FORM
    # runs of text form 1 began when the cache's first format stood here: their fingerprints must not change
    text_key = digest([text_form, *_content(corpora, hashes), _cleaning_before_tokens(data.cleaning), *choice])
    text = _clean_text(data, text_form, text_key, hold_out, snapshot)
    held_out = load_held_out(_cached(data, "text", text_key)) if hold_out else None
    evaluation = [*(_held_out_corpora(data, held_out) if held_out else []), *given]
    texts |= {name: read_parallel_text(corpus, key=name) for name, corpus in evaluation if name not in texts}
    built = _tokenizer(data, tokenizer, text, text_key)
    encoded_key = digest([text_key, built.hash, data.cleaning.max_tokens])
    train = _encoded(data, text, built, encoded_key)

    tags = [[name, corpus.tag] for name, corpus in evaluation if (name, corpus) not in given]
    fingerprint = digest([encoded_key, _mix(corpora), *_content(given, hashes), *tags])
    sentences, tokens = usual_limits(train, language=data.source_language, cache=Path(data.cache), key=encoded_key)
    return Prepared(
        tokenizer=built,
        train=train,
        valid=texts["data.valid"],
        test=texts.get("data.test"),
        fingerprint=fingerprint,
        cleaning=train.report,
        sentences_per_line=sentences,
        trained_tokens=tokens,
        evaluation=evaluation,
        snapshot=snapshot,
        held_out=held_out,
        target_unicode=text.target_unicode,
    )


def read_parallel_text(config: CorpusConfig, *, key: str) -> ParallelText:
    """A whole validation or test set; UserError also when its labels are not as many as its pairs."""
    source, references = read_references(config, key=key)
    labels = None
    if config.labels:
        labels = list(islice(read_labels(config.labels), config.skip, config.last))
        if len(labels) != len(source):
            raise UserError(
                f"{key}.labels: {config.labels} has {len(labels):,} lines for {len(source):,} sentence pairs"
            )
    if not any(pair[0].strip() and pair[1].strip() for pair in zip(source, references[0], strict=True)):
        raise UserError(f"{key}: none of its {len(source):,} pairs has text on both sides")
    is_compressed = any(target.endswith(".gz") for target in config.targets)
    is_plain = config.format is CorpusFormat.text and not is_compressed and not config.is_part
    return ParallelText(
        name=key.removeprefix("data."),
        source=[config.prefix + line for line in source],
        target=references[0],
        labels=labels,
        reference_paths=config.targets if is_plain else [],
        further_references=references[1:],
        tag=config.tag,
    )


def read_labels(path: str) -> Iterator[list[str]]:
    """The TAB-separated labels on each line of a file."""
    for line in read_lines(path):
        yield [label for label in line.removesuffix("\r").split("\t") if label]


def _held_out_corpora(data: DataConfig, held_out: HeldOut) -> list[tuple[str, CorpusConfig]]:
    tags = {"valid": data.valid.tag, "test": data.test.tag}
    return [(f"data.{name}", held_out.corpus(name, tag=tags[name] or data.train.tag)) for name in held_out.sizes]


def _cached(data: DataConfig, kind: str, key: str) -> Path:
    """Folder in the cache for data of a kind (text, tokenizer, tokens); key identifies all that it is made from."""
    return Path(data.cache) / f"{kind}-{digest([_FORMAT_VERSION, key])[:16]}"


def _clean_text(data: DataConfig, text_form: int, key: str, hold_out: list[str], snapshot: Snapshot) -> CleanText:
    directory = _cached(data, "text", key)
    with building_in_cache(directory, waiting_for="prepare the same data") as folder:
        if folder is not None:
            started = time.monotonic()
            corpora = training_corpora(data)
            report = write_clean_text(folder, corpora, data.cleaning, text_form=text_form, hold_out=hold_out)
            snapshot.require_unchanged(name for name, _ in corpora)  # the folder is named after their hashes
            _log_time("cleaned", report.total, started)
    text = CleanText.load(directory)
    _require_pairs(text.report)
    return text


def _tokenizer(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer, text: CleanText, text_key: str) -> Tokenizer:
    """The tokenizer that is given, or one learned from the text."""
    if isinstance(tokenizer, Tokenizer):
        _require_tags(tokenizer, data)
        return tokenizer
    _warn_of_untrained_tags(data, tokenizer)
    return _learned_tokenizer(data, tokenizer, text, text_key)


def _learned_tokenizer(data: DataConfig, config: TokenizerConfig, text: CleanText, text_key: str) -> Tokenizer:
    weights = sampling_weights(training_corpora(data))
    tags = corpus_tags(data)
    key = digest([text_key, asdict(config), weights, tags, sentencepiece.__version__])
    directory = _cached(data, "tokenizer", key)
    with building_in_cache(directory, waiting_for="prepare the same data") as folder:
        if folder is not None:
            started = time.monotonic()
            rows = text.kept[sample_rows(text.corpus[text.kept], weights, config.sample_size, config.seed)]
            train_tokenizer(config, RowTexts(text.source, rows), RowTexts(text.target, rows), tags=tags).save(folder)
            _log_time("learned the vocabulary from", len(rows), started)
    tokenizer = Tokenizer.load(directory)
    _report_size(tokenizer, config)
    return tokenizer


def _report_size(tokenizer: Tokenizer, config: TokenizerConfig) -> None:
    sizes = tokenizer.source_vocab_size, tokenizer.target_vocab_size
    names = ("the vocabulary",) if config.joint else ("the source vocabulary", "the target vocabulary")
    for name, size, asked in zip(names, sizes, config.sizes, strict=False):
        if size < asked:
            logger.info("%s has %s pieces, not %s: the training text supports no more", name, f"{size:,}", f"{asked:,}")


def _encoded(data: DataConfig, text: CleanText, tokenizer: Tokenizer, key: str) -> EncodedCorpus:
    corpora = training_corpora(data)
    directory = _cached(data, "tokens", key)
    with building_in_cache(directory, waiting_for="prepare the same data") as folder:
        if folder is not None:
            started = time.monotonic()
            write_encoded(folder, text, tokenizer=tokenizer, max_tokens=data.cleaning.max_tokens)
            _log_time("encoded", len(text.kept), started)
    encoded = EncodedCorpus(directory, text, tokenizer=tokenizer, corpora=[corpus for _, corpus in corpora])
    _require_pairs(encoded.report)
    return encoded


def _warn_of_untrained_tags(data: DataConfig, tokenizer: TokenizerConfig) -> None:
    """Warn of tags that no training corpus has: the model learns them only from lines that begin with them anyway."""
    trained = {corpus.tag for _, corpus in training_corpora(data)}.union(tokenizer.user_symbols)
    for key, corpus in evaluation_settings(data):
        if corpus.tag and corpus.tag not in trained:
            logger.warning("%s.tag=%s is the tag of no training corpus", key, corpus.tag)


def _require_tags(tokenizer: Tokenizer, data: DataConfig) -> None:
    """Raise UserError for a tag that a given tokenizer lacks.

    A tokenizer of an older version has no tags and reads those of evaluation sets as text, so that its run can go on.
    """
    known = [*tokenizer.tags, *tokenizer.user_symbols]
    for key, corpus in training_corpora(data) + (evaluation_settings(data) if tokenizer.tags else []):
        if corpus.tag and corpus.tag not in known:
            listing = f"it knows {', '.join(known)}" if known else "it has none"
            raise UserError(f"{key}.tag={corpus.tag}: the model's tokenizer has no such symbol; {listing}")


def _content(corpora: list[tuple[str, CorpusConfig]], hashes: dict[str, list[str]]) -> list[Any]:
    """The settings and hashes that determine the pairs of these corpora: neither file names nor weights."""
    content = []
    for key, corpus in corpora:
        is_text = corpus.format is CorpusFormat.text
        columns = [] if is_text else [corpus.source, corpus.target]
        part = [corpus.skip, corpus.take, corpus.every_answer] if corpus.is_part or corpus.every_answer else []
        content.append([corpus.format.value, hashes[key], columns, corpus.tag, *part])
    return content


def _mix(corpora: list[tuple[str, CorpusConfig]]) -> list[Any]:
    """Weight of each corpus and, if it takes part for a time only, that time."""
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
