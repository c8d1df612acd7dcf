"""Preparation: corpora to clean text, tokenizer and token ids, each made once and cached by content."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sentencepiece

from translate.data.clean_text import Snapshot, write_clean_text
from translate.data.cleaning import CleaningConfig, CleaningReport
from translate.data.corpora import DataConfig, KeyedCorpora, ParallelText
from translate.data.dataset import CleanText, RowTexts, TokenizedCorpus, building_in_cache, digest, write_tokenized
from translate.data.filters.corpus_filters import filters_content
from translate.data.held_out import VERSION as HELD_OUT_VERSION
from translate.data.held_out import HeldOut, load_held_out
from translate.data.readers import read_parallel_text
from translate.data.usual_lines import TrainingLines
from translate.errors import UserError
from translate.text import TEXT_FORM
from translate.tokenizer import Tokenizer
from translate.tokenizer_training import TokenizerConfig, sample_rows, sampling_weights, train_tokenizer
from translate.truecasing import Truecaser
from translate.unicode_form import TargetUnicode

_FORMAT_VERSION = 2  # of everything in the cache: raise it when the same input gives other files
logger = logging.getLogger(__name__)


@dataclass
class Prepared:
    """Data of a run.

    fingerprint     changes with any of the data, tokenizer included
    cleaning        report of the training text
    sentences_per_line, trained_tokens  limits of usual source lines: see TrainingLines
    target_unicode  Unicode form of the training target, which translations are written in
    truecaser       usual case of the source's words; None for a source without case
    evaluation      corpora of valid and all test sets, with the keys of their configurations
    further_tests   test sets beside test
    snapshot        state of the corpora's files when they were hashed
    held_out        the sets taken from the training text, None if valid is given
    tokenizer_config  settings that the tokenizer was learned with; None: it was given
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
    truecaser: Truecaser | None = None
    tokenizer_config: TokenizerConfig | None = None
    further_tests: list[ParallelText] = field(default_factory=list)

    @property
    def tests(self) -> list[ParallelText]:
        """All sets that the finished run is scored on; the validation set where there is no test set."""
        return [self.test or self.valid, *self.further_tests]


ChooseTokenizer = Callable[[CleanText], TokenizerConfig]


def prepare(
    data: DataConfig, tokenizer: TokenizerConfig | Tokenizer | ChooseTokenizer, *, verified: bool = False
) -> Prepared:
    """Clean the training text, learn its tokenizer unless one is given, encode it; read validation and test sets.

    A given tokenizer reads text in the form that it was trained with; a function gets the clean text. Results of the
    same content and settings are taken from data.cache. Raises UserError for what is wrong with files or settings.

    verified  another process has just compared the contents of the cache with their checksums
    """
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer.check()
        tokenizer = tokenizer.given() or tokenizer
    data.check()
    corpora, given = data.training_corpora, data.evaluation_corpora
    snapshot = Snapshot.take(given + corpora)
    texts = {name: read_parallel_text(corpus, key=name) for name, corpus in given}
    snapshot.require_unchanged(texts)

    # Clean text. A folder of the cache is named by all that it is made from: contents of files and settings.
    hold_out = data.sets_to_hold_out
    choice = [["held out", HELD_OUT_VERSION, hold_out]] if hold_out else []
    text_form = tokenizer.text_form if isinstance(tokenizer, Tokenizer) else TEXT_FORM
    content = [corpus.content(snapshot.hashes[key]) for key, corpus in corpora]
    # The first value was the cache's format before it was the text form: format 1 and form 1 give one fingerprint.
    filters = filters_content([corpus for _, corpus in corpora], data.cleaning)
    text_key = digest([text_form, *content, _cleaning_before_tokens(data.cleaning), *choice, *filters])
    text = _clean_text(data, text_form, text_key, hold_out, snapshot, verified=verified)
    held_out = load_held_out(_cached(data, "text", text_key)) if hold_out else None
    taken = _held_out_corpora(data, held_out) if held_out else []
    texts |= {name: read_parallel_text(corpus, key=name) for name, corpus in taken}

    # Tokenizer, learned from a sample of the clean text, and the token ids.
    if not isinstance(tokenizer, TokenizerConfig | Tokenizer):
        tokenizer = tokenizer(text)
    built = _tokenizer(data, tokenizer, text, text_key, verified=verified)
    tokens_key = digest([text_key, built.hash, data.cleaning.max_tokens])
    train = _tokenized(data, text, built, tokens_key, verified=verified)

    # The fingerprint covers what no folder depends on as well: weights of corpora, and evaluation sets.
    shares = [corpus.share_of_training for _, corpus in corpora]
    evaluated = [corpus.content(snapshot.hashes[key]) for key, corpus in given]
    fingerprint = digest([tokens_key, shares, *evaluated, *([name, corpus.tag] for name, corpus in taken)])
    lines = TrainingLines(
        train=train,
        language=data.source_language,
        cache=Path(data.cache),
        key=tokens_key,
        tags=built.tags,
        verified=verified,
    )
    sentences, tokens = lines.usual_limits()
    return Prepared(
        tokenizer=built,
        tokenizer_config=tokenizer if isinstance(tokenizer, TokenizerConfig) else None,
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
        truecaser=lines.truecaser(),
        further_tests=[found for key, found in texts.items() if key not in ("data.valid", "data.test")],
    )


def _held_out_corpora(data: DataConfig, held_out: HeldOut) -> KeyedCorpora:
    tags = {"valid": data.valid.tag, "test": data.test.tag}
    return [(f"data.{name}", held_out.corpus(name, tag=tags[name] or data.train.tag)) for name in held_out.sizes]


def _cached(data: DataConfig, kind: str, key: str) -> Path:
    """Folder in the cache for data of a kind (text, tokenizer, tokens); key: hash of all that it is made from."""
    return Path(data.cache) / f"{kind}-{digest([_FORMAT_VERSION, key])[:16]}"


def _clean_text(
    data: DataConfig, text_form: int, key: str, hold_out: list[str], snapshot: Snapshot, *, verified: bool
) -> CleanText:
    directory = _cached(data, "text", key)
    with building_in_cache(directory, waiting_for="prepare the same data", contents=not verified) as folder:
        if folder is not None:
            started = time.monotonic()
            corpora = data.training_corpora
            report = write_clean_text(folder, corpora, data.cleaning, text_form=text_form, hold_out=hold_out)
            snapshot.require_unchanged(name for name, _ in corpora)  # the folder is named by their hashes
            _log_time("cleaned", report.total, started)
    text = CleanText.load(directory)
    _require_pairs(text.report)
    return text


def _tokenizer(
    data: DataConfig, config: TokenizerConfig | Tokenizer, text: CleanText, text_key: str, *, verified: bool
) -> Tokenizer:
    """The tokenizer that is given, or one learned from the text."""
    if isinstance(config, Tokenizer):
        _require_tags(config, data)
        return config
    _warn_of_untrained_tags(data, config)
    weights = sampling_weights([corpus.weight for _, corpus in data.training_corpora])
    settings = asdict(config)
    del settings["path"]  # newer than the cache's format, and empty here
    # another version of SentencePiece may learn another vocabulary from the same text
    key = digest([text_key, settings, weights, data.tags, sentencepiece.__version__])
    directory = _cached(data, "tokenizer", key)
    with building_in_cache(directory, waiting_for="prepare the same data", contents=not verified) as folder:
        if folder is not None:
            started = time.monotonic()
            rows = text.kept[sample_rows(text.corpus[text.kept], weights, config.sample_size, config.seed)]
            source, target = RowTexts(text.source, rows), RowTexts(text.target, rows)
            train_tokenizer(config, source, target, tags=data.tags).save(folder)
            _log_time("learned the vocabulary from", len(rows), started)
    tokenizer = Tokenizer.load(directory)
    _log_smaller_size(tokenizer, config)
    return tokenizer


def _log_smaller_size(tokenizer: Tokenizer, config: TokenizerConfig) -> None:
    sizes = tokenizer.source_vocab_size, tokenizer.target_vocab_size
    names = ("the vocabulary",) if config.joint else ("the source vocabulary", "the target vocabulary")
    # not strict: a joint vocabulary has one name, but two equal sizes
    for name, size, asked in zip(names, sizes, config.sizes, strict=False):
        if size < asked:
            logger.info("%s has %s pieces, not %s: the training text supports no more", name, f"{size:,}", f"{asked:,}")


def _tokenized(data: DataConfig, text: CleanText, tokenizer: Tokenizer, key: str, *, verified: bool) -> TokenizedCorpus:
    directory = _cached(data, "tokens", key)
    with building_in_cache(directory, waiting_for="prepare the same data", contents=not verified) as folder:
        if folder is not None:
            started = time.monotonic()
            write_tokenized(folder, text, tokenizer=tokenizer, max_tokens=data.cleaning.max_tokens)
            _log_time("encoded", len(text.kept), started)
    corpora = [corpus for _, corpus in data.training_corpora]
    tokenized = TokenizedCorpus(directory, text, tokenizer=tokenizer, corpora=corpora)
    _require_pairs(tokenized.report)
    return tokenized


def _warn_of_untrained_tags(data: DataConfig, tokenizer: TokenizerConfig) -> None:
    """Warn of tags that no training corpus has: the model learns them only from lines that begin with them anyway."""
    trained = {corpus.tag for _, corpus in data.training_corpora}.union(tokenizer.user_symbols)
    for key, corpus in data.evaluation_settings:
        if corpus.tag and corpus.tag not in trained:
            logger.warning("%s.tag=%s is the tag of no training corpus", key, corpus.tag)


def _require_tags(tokenizer: Tokenizer, data: DataConfig) -> None:
    """Raise UserError for a tag that a given tokenizer lacks.

    A tokenizer of an older version has no tags and reads those of evaluation sets as text: its run can continue.
    """
    known = [*tokenizer.tags, *tokenizer.user_symbols]
    for key, corpus in data.training_corpora + (data.evaluation_settings if tokenizer.tags else []):
        if corpus.tag and corpus.tag not in known:
            listing = f"it knows {', '.join(known)}" if known else "it has none"
            raise UserError(f"{key}.tag={corpus.tag}: the tokenizer has no such symbol; {listing}")


def _cleaning_before_tokens(config: CleaningConfig) -> dict[str, Any]:
    # max_tokens judges tokens and must not make clean text anew; filters are in the key by corpus
    return {name: value for name, value in asdict(config).items() if name not in ("max_tokens", "filters")}


def _require_pairs(report: CleaningReport) -> None:
    if not report.kept:
        raise UserError(f"cleaning left no training pairs (see data.cleaning):\n{report.table()}")


def _log_time(what: str, pairs: int, started: float) -> None:
    seconds = time.monotonic() - started
    logger.info("%s %s pairs in %.1f s", what, f"{pairs:,}", seconds)
