"""Preparation: corpora to clean text, tokenizer and token ids, each made once and cached by content."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from translate.data.clean_text import Snapshot, write_clean_text
from translate.data.cleaning import CleaningConfig, CleaningReport
from translate.data.context import require_separator, with_separator
from translate.data.corpora import DataConfig, KeyedCorpora, ParallelText, is_validation
from translate.data.corpus import CorpusConfig
from translate.data.dataset import CleanText, RowTexts, TokenizedCorpus, building_in_cache, digest, write_tokenized
from translate.data.filters.corpus_filters import filters_content
from translate.data.held_out import VERSION as HELD_OUT_VERSION
from translate.data.held_out import HeldOut, load_held_out
from translate.data.languages import describe_mix, temperature_weights
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
    further_valid   validation sets of the other directions
    further_tests   test sets beside test
    mix             table of the directions and their shares; "" where there is one
    snapshot        state of the corpora's files when they were hashed
    held_out        the sets taken from the training text, None if valid is given
    tokenizer_config  settings that the tokenizer was learned with; None: it was given
    vocabulary_reason  reason for those that were chosen by the text; "": none were
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
    vocabulary_reason: str = ""
    further_valid: list[ParallelText] = field(default_factory=list)
    further_tests: list[ParallelText] = field(default_factory=list)
    mix: str = ""

    @property
    def validation_sets(self) -> list[ParallelText]:
        """The validation set, or that of each direction."""
        return [self.valid, *self.further_valid]

    @property
    def tests(self) -> list[ParallelText]:
        """All sets that the finished run is scored on; the validation sets where there is no test set."""
        return [*([self.test] if self.test else self.validation_sets), *self.further_tests]


ChooseTokenizer = Callable[[CleanText, Sequence[float]], tuple[TokenizerConfig, str]]


def prepare(
    data: DataConfig, tokenizer: TokenizerConfig | Tokenizer | ChooseTokenizer, *, verified: bool = False
) -> Prepared:
    """Clean the training text, learn its tokenizer unless one is given, encode it; read validation and test sets.

    A given tokenizer reads text in the form that it was trained with; a function gets the clean text and the weights of
    its corpora, and returns settings with their reason. Results of the same content and settings are taken from
    data.cache. Raises UserError for what is wrong with files or settings.

    verified  another process has just compared the contents of the cache with their checksums
    """
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer.check()
        tokenizer = tokenizer.given() or tokenizer
    data.check()
    corpora, given = data.training_corpora, data.evaluation_corpora
    configs = [corpus for _, corpus in corpora]
    snapshot = Snapshot.take(given + corpora)
    texts = {key: _evaluation_text(data, key, corpus) for key, corpus in given}
    snapshot.require_unchanged(texts)

    # Clean text. A folder of the cache is named by all that it is made from: contents of files and settings.
    hold_out = data.sets_to_hold_out
    # of one direction, the names alone were in the fingerprint before there were several
    sets = list(hold_out.items()) if data.directions else list(hold_out)
    choice = [["held out", HELD_OUT_VERSION, sets]] if hold_out else []
    text_form = tokenizer.text_form if isinstance(tokenizer, Tokenizer) else TEXT_FORM
    content = [corpus.content(snapshot.hashes[key]) for key, corpus in corpora]
    # The first value was the cache's format before it was the text form: format 1 and form 1 give one fingerprint.
    filters = filters_content(configs, data.cleaning)
    text_key = digest([text_form, *content, _cleaning_before_tokens(data.cleaning), *choice, *filters])
    text = _clean_text(data, text_form, text_key, hold_out, snapshot, verified=verified)
    held_out = load_held_out(_cached(data, "text", text_key)) if hold_out else None
    taken = _held_out_corpora(data, held_out) if held_out else []
    texts |= {key: _evaluation_text(data, key, corpus) for key, corpus in taken}
    pairs = np.bincount(text.corpus[text.kept], minlength=len(configs)).tolist()
    weights = temperature_weights(configs, pairs, data.temperature)

    # Tokenizer, learned from a sample of the clean text, and the token ids.
    reason = ""
    if not isinstance(tokenizer, TokenizerConfig | Tokenizer):
        tokenizer, reason = tokenizer(text, weights)
    built = _tokenizer(data, tokenizer, text, text_key, weights, verified=verified)
    built.reverse_target = data.reverse_target
    tokens_key = digest([text_key, built.hash, data.cleaning.max_tokens, *["reverse_target"] * data.reverse_target])
    train = _tokenized(data, text, built, tokens_key, weights, verified=verified)

    # The fingerprint covers what no folder depends on as well: weights of corpora, and evaluation sets.
    shares = [corpus.share_of_training for corpus in configs]
    evaluated = [corpus.content(snapshot.hashes[key]) for key, corpus in given]
    mix = [["temperature", data.temperature]] if data.temperature != 1 else []
    fingerprint = digest([tokens_key, shares, *evaluated, *([name, corpus.tag] for name, corpus in taken), *mix])
    lines = TrainingLines(
        train=train,
        language=data.languages[0],
        cache=Path(data.cache),
        key=tokens_key,
        tags=built.tags,
        has_context=data.context > 0,
        verified=verified,
    )
    sentences, tokens = lines.usual_limits()
    validation = [found for key, found in texts.items() if is_validation(key)]
    tests = [found for key, found in texts.items() if key.startswith("data.test")]
    return Prepared(
        tokenizer=built,
        tokenizer_config=tokenizer if isinstance(tokenizer, TokenizerConfig) else None,
        vocabulary_reason=reason,
        train=train,
        valid=validation[0],
        test=tests[0] if tests else None,
        fingerprint=fingerprint,
        cleaning=train.report,
        sentences_per_line=sentences,
        trained_tokens=tokens,
        evaluation=[*taken, *given],
        snapshot=snapshot,
        held_out=held_out,
        target_unicode=text.target_unicode,
        truecaser=lines.truecaser(),
        further_valid=validation[1:],
        further_tests=[*tests[1:], *(found for key, found in texts.items() if key.startswith("data.further_tests"))],
        mix=describe_mix(configs, pairs, weights) if data.directions or mix else "",
    )


def _held_out_corpora(data: DataConfig, held_out: HeldOut) -> KeyedCorpora:
    corpora, tags = [corpus for _, corpus in data.training_corpora], {"valid": data.valid.tag, "test": data.test.tag}
    taken = []
    for name, index in data.sets_to_hold_out.items():
        corpus = corpora[index]
        # of the direction where there are several: a corpus beside its first one may have another tag
        tag = tags.get(name) or corpus.tag
        languages = corpus.source_language, corpus.target_language
        taken.append((f"data.{name}", held_out.corpus(name, tag=tag, languages=languages)))
    return taken


def _evaluation_text(data: DataConfig, key: str, corpus: CorpusConfig) -> ParallelText:
    return replace(read_parallel_text(corpus, key=key), name=data.name_of(key, corpus), key=key)


def _cached(data: DataConfig, kind: str, key: str) -> Path:
    """Folder in the cache for data of a kind (text, tokenizer, tokens); key: hash of all that it is made from."""
    return Path(data.cache) / f"{kind}-{digest([_FORMAT_VERSION, key])[:16]}"


def _clean_text(
    data: DataConfig, text_form: int, key: str, hold_out: Mapping[str, int], snapshot: Snapshot, *, verified: bool
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
    text.report.require_pairs()
    return text


def _tokenizer(
    data: DataConfig,
    config: TokenizerConfig | Tokenizer,
    text: CleanText,
    text_key: str,
    corpus_weights: Sequence[float],
    *,
    verified: bool,
) -> Tokenizer:
    """The tokenizer that is given, or one learned from the text, whose corpora have these weights."""
    if isinstance(config, Tokenizer):
        _require_tags(config, data)
        return config
    config = with_separator(config) if data.context else config
    _warn_of_untrained_tags(data, config)
    weights = sampling_weights(corpus_weights)
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


def _tokenized(
    data: DataConfig, text: CleanText, tokenizer: Tokenizer, key: str, weights: Sequence[float], *, verified: bool
) -> TokenizedCorpus:
    directory = _cached(data, "tokens", key)
    with building_in_cache(directory, waiting_for="prepare the same data", contents=not verified) as folder:
        if folder is not None:
            started = time.monotonic()
            write_tokenized(folder, text, tokenizer=tokenizer, max_tokens=data.cleaning.max_tokens)
            _log_time("encoded", len(text.kept), started)
    weighted = zip(data.training_corpora, weights, strict=True)
    corpora = [replace(corpus, weight=weight) for (_, corpus), weight in weighted]
    tokenized = TokenizedCorpus(directory, text, tokenizer=tokenizer, corpora=corpora)
    tokenized.report.require_pairs()
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
    if data.context:
        require_separator(tokenizer)
    known = [*tokenizer.tags, *tokenizer.user_symbols]
    for key, corpus in data.training_corpora + (data.evaluation_settings if tokenizer.tags else []):
        if corpus.tag and corpus.tag not in known:
            listing = f"it knows {', '.join(known)}" if known else "it has none"
            raise UserError(f"{key}.tag={corpus.tag}: the tokenizer has no such symbol; {listing}")


def _cleaning_before_tokens(config: CleaningConfig) -> dict[str, Any]:
    # max_tokens judges tokens and must not make clean text anew; filters are in the key by corpus
    return {name: value for name, value in asdict(config).items() if name not in ("max_tokens", "filters")}


def _log_time(what: str, pairs: int, started: float) -> None:
    logger.info("%s %s pairs in %.1f s", what, f"{pairs:,}", time.monotonic() - started)
