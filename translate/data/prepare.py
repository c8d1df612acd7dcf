"""Preparation: corpora to clean text, tokenizer and token ids, each made once and cached by content."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sentencepiece

from translate.data.clean_text import write_clean_text
from translate.data.cleaning import CleaningConfig, CleaningReport
from translate.data.corpora import CorpusConfig, CorpusFormat, DataConfig, KeyedCorpora, ParallelText
from translate.data.dataset import CleanText, RowTexts, TokenizedCorpus, building_in_cache, digest, write_tokenized
from translate.data.held_out import VERSION as HELD_OUT_VERSION
from translate.data.held_out import HeldOut, load_held_out
from translate.data.readers import errors_naming, hub_dataset, matching_files, read_parallel_text
from translate.data.sentence_counts import usual_limits
from translate.errors import UserError
from translate.files import sha256
from translate.target_unicode import TargetUnicode
from translate.text import TEXT_FORM, open_bytes
from translate.tokenizer import Tokenizer
from translate.tokenizer_training import TokenizerConfig, sample_rows, sampling_weights, train_tokenizer

_FORMAT_VERSION = 2  # of everything in the cache: raise it when the same input gives other files
logger = logging.getLogger(__name__)


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
    train: TokenizedCorpus
    valid: ParallelText
    test: ParallelText | None
    fingerprint: str
    cleaning: CleaningReport
    sentences_per_line: int
    trained_tokens: int
    evaluation: KeyedCorpora
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
    data.check()
    corpora, given = data.training_corpora, data.evaluation_corpora
    snapshot = Snapshot.take(given + corpora)
    texts = {name: read_parallel_text(corpus, key=name) for name, corpus in given}
    snapshot.require_unchanged(texts)

    hold_out = data.sets_to_hold_out
    choice = [["held out", HELD_OUT_VERSION, hold_out]] if hold_out else []
    text_form = tokenizer.text_form if isinstance(tokenizer, Tokenizer) else TEXT_FORM
    content = [corpus.content(snapshot.hashes[key]) for key, corpus in corpora]
    # runs of text form 1 began when the cache's first format was at this position: their fingerprints must not change
    text_key = digest([text_form, *content, _cleaning_before_tokens(data.cleaning), *choice])
    text = _clean_text(data, text_form, text_key, hold_out, snapshot)

    held_out = load_held_out(_cached(data, "text", text_key)) if hold_out else None
    taken = _held_out_corpora(data, held_out) if held_out else []
    texts |= {name: read_parallel_text(corpus, key=name) for name, corpus in taken}

    built = _tokenizer(data, tokenizer, text, text_key)
    encoded_key = digest([text_key, built.hash, data.cleaning.max_tokens])
    train = _encoded(data, text, built, encoded_key)

    shares = [corpus.share_of_training for _, corpus in corpora]
    evaluated = [corpus.content(snapshot.hashes[key]) for key, corpus in given]
    tags = [[name, corpus.tag] for name, corpus in taken]
    fingerprint = digest([encoded_key, shares, *evaluated, *tags])
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
        evaluation=[*taken, *given],
        snapshot=snapshot,
        held_out=held_out,
        target_unicode=text.target_unicode,
    )


def _held_out_corpora(data: DataConfig, held_out: HeldOut) -> KeyedCorpora:
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
            corpora = data.training_corpora
            report = write_clean_text(folder, corpora, data.cleaning, text_form=text_form, hold_out=hold_out)
            snapshot.require_unchanged(name for name, _ in corpora)  # the folder is named by their hashes
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
    weights = sampling_weights([corpus.weight for _, corpus in data.training_corpora])
    key = digest([text_key, asdict(config), weights, data.tags, sentencepiece.__version__])
    directory = _cached(data, "tokenizer", key)
    with building_in_cache(directory, waiting_for="prepare the same data") as folder:
        if folder is not None:
            started = time.monotonic()
            rows = text.kept[sample_rows(text.corpus[text.kept], weights, config.sample_size, config.seed)]
            source, target = RowTexts(text.source, rows), RowTexts(text.target, rows)
            train_tokenizer(config, source, target, tags=data.tags).save(folder)
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


def _encoded(data: DataConfig, text: CleanText, tokenizer: Tokenizer, key: str) -> TokenizedCorpus:
    directory = _cached(data, "tokens", key)
    with building_in_cache(directory, waiting_for="prepare the same data") as folder:
        if folder is not None:
            started = time.monotonic()
            write_tokenized(folder, text, tokenizer=tokenizer, max_tokens=data.cleaning.max_tokens)
            _log_time("encoded", len(text.kept), started)
    corpora = [corpus for _, corpus in data.training_corpora]
    encoded = TokenizedCorpus(directory, text, tokenizer=tokenizer, corpora=corpora)
    _require_pairs(encoded.report)
    return encoded


def _warn_of_untrained_tags(data: DataConfig, tokenizer: TokenizerConfig) -> None:
    """Warn of tags that no training corpus has: the model learns them only from lines that begin with them anyway."""
    trained = {corpus.tag for _, corpus in data.training_corpora}.union(tokenizer.user_symbols)
    for key, corpus in data.evaluation_settings:
        if corpus.tag and corpus.tag not in trained:
            logger.warning("%s.tag=%s is the tag of no training corpus", key, corpus.tag)


def _require_tags(tokenizer: Tokenizer, data: DataConfig) -> None:
    """Raise UserError for a tag that a given tokenizer lacks.

    A tokenizer of an older version has no tags and reads those of evaluation sets as text, so that its run can go on.
    """
    known = [*tokenizer.tags, *tokenizer.user_symbols]
    for key, corpus in data.training_corpora + (data.evaluation_settings if tokenizer.tags else []):
        if corpus.tag and corpus.tag not in known:
            listing = f"it knows {', '.join(known)}" if known else "it has none"
            raise UserError(f"{key}.tag={corpus.tag}: the model's tokenizer has no such symbol; {listing}")


def _cleaning_before_tokens(config: CleaningConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name != "max_tokens"}


def _require_pairs(report: CleaningReport) -> None:
    if not report.kept:
        raise UserError(f"cleaning left no training pairs (see data.cleaning):\n{report.table()}")


def _log_time(what: str, pairs: int, started: float) -> None:
    seconds = time.monotonic() - started
    logger.info("%s %s pairs in %.1f s", what, f"{pairs:,}", seconds)


@dataclass(frozen=True)
class Snapshot:
    """The files of some corpora, by the keys of their configurations: SHA-256, and inode, size and times."""

    corpora: dict[str, CorpusConfig]
    hashes: dict[str, list[str]]
    status: dict[str, list[tuple[int, ...]]]

    @classmethod
    def take(cls, corpora: KeyedCorpora) -> Snapshot:
        status = {key: _status(config, key) for key, config in corpora}  # first: a change while hashing is noticed
        return cls(dict(corpora), {key: content_hashes(config, key=key) for key, config in corpora}, status)

    def require_unchanged(self, keys: Iterable[str] | None = None) -> None:
        """Raise UserError where files are no longer what was hashed, so that what was read may be another text.

        A file that was changed and changed back has its old hash, but not its old times.
        """
        for key in self.corpora if keys is None else keys:
            config = self.corpora[key]
            if _status(config, key) != self.status[key] or content_hashes(config, key=key) != self.hashes[key]:
                raise UserError(f"{key}: the files have changed while they were read; start again when they are whole")


def content_hashes(config: CorpusConfig, *, key: str) -> list[str]:
    """SHA-256 of each of a corpus's files, compressed or not as it is stored; key: of its configuration in errors."""
    paths = _files(config, key)
    with errors_naming(key):
        for path in paths:
            with open_bytes(path):
                pass  # for its errors
    return [sha256(path) for path in paths]


def _files(config: CorpusConfig, key: str) -> list[str]:
    config.check(key)
    if config.format is CorpusFormat.text:
        return [config.source, *config.targets]
    with errors_naming(key):
        if config.format is CorpusFormat.hub:
            return [file["filename"] for file in hub_dataset(config).cache_files]
        return matching_files(config)


def _status(config: CorpusConfig, key: str) -> list[tuple[int, ...]]:
    paths = _files(config, key)
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return []  # hashing reports the error
    return [(each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in found]
