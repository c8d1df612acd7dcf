"""Learn a tokenizer with SentencePiece (Kudo and Richardson 2018): its settings, its sample of text, its training."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from translate.errors import UserError, require_at_least, require_between
from translate.text import normalise
from translate.tokenizer import BOS, EOS, NUM_SPECIAL, PAD, UNK, Tokenizer, with_controls
from translate.tokenizer_reuse import load_given

# With 32,000 pieces, 200,000 pairs instead of 100,000 made held-out text 0.5 % shorter (284,000: 0.6 %) and learning
# took twice as long; with 8,000 pieces 0.3 %.
_SENTENCES_PER_PIECE, _FEWEST_SENTENCES = 6, 100_000
# SentencePiece adds up floats per thread, so the vocabulary depends on their number: one for all machines.
_TRAINING_THREADS = 16
_MAX_TRAINING_BYTES = 1 << 14
# How many candidates the unigram model prunes down from. With SentencePiece's million it takes up to twice as long,
# and held-out text gets up to 1.6 % longer (multi30k, wmt-newstest-de-en, tatoeba-cmn-eng; 8,000 pieces).
_MIN_CANDIDATES = 40_000
_CANDIDATES_PER_PIECE = 5
# More than any text supports: SentencePiece would look for as many as it is asked for, and fail with large numbers.
_MAX_CANDIDATES = MAX_VOCAB_SIZE = 10_000_000
# Words that are repeated for the unigram model: no longer than any whose end a piece of 16 characters might be, and
# no more than memory has room for.
_MAX_WORD_CHARACTERS = 64
_MAX_WORDS = 2_000_000
_QUIET = 2


class TokenizerType(StrEnum):
    unigram = "unigram"
    bpe = "bpe"


class Normalization(StrEnum):
    """SentencePiece's own rules; all but identity change the characters that a model can write."""

    identity = "identity"
    nfkc = "nfkc"
    nmt_nfkc = "nmt_nfkc"
    nfkc_cf = "nfkc_cf"
    nmt_nfkc_cf = "nmt_nfkc_cf"


@dataclass(kw_only=True)
class TokenizerConfig:
    """Settings of the vocabulary.

    path                a SentencePiece model, or the folder of a run or model, whose vocabulary is used as it is; "":
                        one is learned
    vocab_size          pieces; of a text that does not support as many, as many as it does
    joint               one vocabulary for both sides; otherwise each side has its own, of vocab_size unless
                        source_vocab_size or target_vocab_size say more
    byte_fallback       characters outside the vocabulary become bytes instead of the unknown token
    character_coverage  share of the training text's characters that the vocabulary must hold
    user_symbols        symbols such as <nl>, never split, wherever they stand; those of data.*.tag are added by
                        themselves, and stand for themselves in front of a source line only
    max_sentences       lines per side that the vocabulary is learned from, drawn with seed in proportion to the
                        corpora's weights; 0: six for every piece, and at least 100,000
    """

    path: str = ""
    type: TokenizerType = TokenizerType.unigram
    vocab_size: int = 8000
    joint: bool = True
    source_vocab_size: int | None = None
    target_vocab_size: int | None = None
    byte_fallback: bool = True
    character_coverage: float = 0.9995
    user_symbols: list[str] = field(default_factory=list)
    normalization: Normalization = Normalization.identity
    max_sentences: int = 0
    seed: int = 1

    def given(self) -> Tokenizer | None:
        """The tokenizer at `path`, None without one. Raises UserError where there is none that can be used."""
        return load_given(self.path) if self.path else None

    @property
    def shared(self) -> bool:
        """True for one vocabulary of both sides."""
        given = self.given()
        return self.joint if given is None else given.shared

    @property
    def sizes(self) -> tuple[int, int]:
        """Pieces on the source and on the target side: those of the given vocabulary, or those asked for."""
        if (given := self.given()) is not None:
            return given.source_vocab_size, given.target_vocab_size
        if self.joint:
            return self.vocab_size, self.vocab_size
        sides = self.source_vocab_size, self.target_vocab_size
        source, target = (self.vocab_size if size is None else size for size in sides)
        return source, target

    def check(self) -> None:
        """Raise UserError for numbers that make no sense, and for a given vocabulary that is none."""
        if self.path:
            self._check_given()
        for key in ("vocab_size", "source_vocab_size", "target_vocab_size"):
            size = getattr(self, key)
            if size is not None and size <= NUM_SPECIAL:
                raise UserError(f"tokenizer.{key} ({size}) must be above {NUM_SPECIAL}, the number of special tokens")
        for key in ("max_sentences", "seed"):
            require_at_least(f"tokenizer.{key}", getattr(self, key), 0)
        require_between("tokenizer.character_coverage", self.character_coverage, 0.98, 1.0)  # as SentencePiece has it
        if "" in self.user_symbols or len(set(self.user_symbols)) < len(self.user_symbols):
            raise UserError(f"tokenizer.user_symbols ({self.user_symbols}) must be different and not empty")

    def require_effect(self) -> None:
        """Raise UserError for a size of one side where both share a vocabulary; runs that have begun may have one."""
        for key in ("source_vocab_size", "target_vocab_size") if self.joint else ():
            if (size := getattr(self, key)) is not None:
                raise UserError(f"tokenizer.{key}={size} has no effect without tokenizer=separate")

    def require_no_path(self, other: str) -> None:
        """Raise UserError for a given vocabulary beside another one, which decides."""
        if self.path:
            raise UserError(f"tokenizer.path has no effect beside {other}: leave one of them out")

    def _check_given(self) -> None:
        for key, default in vars(TokenizerConfig(path=self.path)).items():
            if (value := getattr(self, key)) != default:
                raise UserError(
                    f"tokenizer.{key}={value} has no effect beside tokenizer.path, whose vocabulary is used as it is: "
                    f"leave it out (tokenizer.{key}={default} takes back the choice of an experiment)"
                )
        self.given()

    @property
    def sample_size(self) -> int:
        """Lines per side that the vocabulary is learned from."""
        return self.max_sentences or max(_FEWEST_SENTENCES, _SENTENCES_PER_PIECE * max(self.sizes))


def sampling_weights(corpus_weights: Sequence[float]) -> list[float]:
    """Copies of a pair of each corpus in the sample, if there is room for all of them."""
    heaviest = max(corpus_weights)
    if min(corpus_weights) == heaviest:  # equal weights of any size mean the text as it is
        return [1.0] * len(corpus_weights)
    # scaled up where all are below 1: the heaviest corpus is read whole at least once
    return [weight / min(1.0, heaviest) for weight in corpus_weights]


def sample_rows(corpus: NDArray[np.integer], weights: Sequence[float], size: int, seed: int) -> NDArray[np.int64]:
    """About `size` ascending row numbers, drawn with the seed; corpus (N,) is the index of each row's corpus.

    weights  copies of a row of each corpus where there is room for all: 2 is twice, 0.1 every tenth row
    """
    random = np.random.default_rng(seed)
    # rows if there were room for all copies
    wanted = np.bincount(corpus, minlength=len(weights)) @ np.array(weights)
    times = np.zeros(len(corpus), np.int32)
    for number, weight in enumerate(weights):
        rows = np.flatnonzero(corpus == number)
        # whole copies for every row, and one more for a random share of the rows
        copies, share = divmod(weight * min(1.0, size / wanted), 1)
        times[rows] = int(copies)
        times[random.choice(rows, round(share * len(rows)), replace=False)] += 1
    return np.repeat(np.arange(len(corpus)), times)


def train_tokenizer(
    config: TokenizerConfig, source: Iterable[str], target: Iterable[str], *, tags: Sequence[str] = ()
) -> Tokenizer:
    """Learn the vocabulary, or one per side, from the lines of both sides, which may be read several times.

    All lines are used: the caller draws the sample. The same lines, config and tags give the same model exactly. A
    text that does not support a vocabulary of the size asked for gets the largest one that it does. Raises UserError
    for a size that the text's characters alone exceed.
    """
    tags = [tag for tag in tags if tag not in config.user_symbols]
    config = replace(config, user_symbols=[*config.user_symbols, *tags])
    if config.joint:
        model = _train(config, [source, target], config.vocab_size, "vocab_size")
        return Tokenizer(with_controls(model, tags))
    own_sizes = {"source_vocab_size": config.source_vocab_size, "target_vocab_size": config.target_vocab_size}
    keys = ["vocab_size" if size is None else key for key, size in own_sizes.items()]
    models = [
        _train(config, [lines], size, key)
        for lines, size, key in zip((source, target), config.sizes, keys, strict=True)
    ]
    return Tokenizer(*(with_controls(model, tags) for model in models))


def _train(config: TokenizerConfig, sides: Sequence[Iterable[str]], vocab_size: int, key: str) -> bytes:
    size = min(vocab_size, MAX_VOCAB_SIZE)
    while True:
        try:
            return _train_once(config, _training_lines(config, chain.from_iterable(sides)), size)
        except RuntimeError as error:
            # its message about a size that the text does not support names the largest one that it does
            found = re.search(r"value <= (\d+)", str(error))
            largest = int(found[1]) if found else None
            if largest is None or largest >= size:
                raise UserError(_explain(str(error), config, vocab_size, key)) from None
            size = largest


def _train_once(config: TokenizerConfig, lines: Iterator[str], vocab_size: int) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_writer=model,
        model_type=config.type.value,
        vocab_size=vocab_size,
        character_coverage=config.character_coverage,
        byte_fallback=config.byte_fallback,
        user_defined_symbols=config.user_symbols,
        normalization_rule_name=config.normalization.value,
        max_sentence_length=_MAX_TRAINING_BYTES,
        seed_sentencepiece_size=min(max(_MIN_CANDIDATES, _CANDIDATES_PER_PIECE * vocab_size), _MAX_CANDIDATES),
        num_threads=_TRAINING_THREADS,
        pad_id=PAD,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        minloglevel=_QUIET,
    )
    return model.getvalue()


def _training_lines(config: TokenizerConfig, lines: Iterable[str]) -> Iterator[str]:
    """The lines that SentencePiece learns from, each short enough not to be skipped.

    The candidates of its unigram trainer are strings with at least two different followers, and those with a space
    inside are dropped (0.2.1 and 0.2.3): a word that is always followed by the same character, such as "would" by a
    space, never becomes a piece. Each word that occurs at least twice is therefore fed once more on a line of its own;
    one that occurs only at the ends of lines is fed before a space as well.
    """
    words: Counter[str] = Counter()
    before_others: set[str] = set()
    for line in lines:
        text = normalise(line).strip()
        if not text:
            continue
        yield from _short_lines(text)
        if config.type is TokenizerType.unigram:
            found = [word for word in text.split(" ") if 0 < len(word) <= _MAX_WORD_CHARACTERS]
            words.update(found)
            before_others.update(found[:-1])  # the last word has no space behind it
            # rare words go first: most of a large vocabulary occurs once, and pays least as a candidate
            if len(words) > _MAX_WORDS:
                words = _most_frequent(words)
                before_others &= words.keys()
    for word, count in words.items():
        if count >= 2:
            yield word if word in before_others else f"{word} {word}"


def _most_frequent(words: Counter[str]) -> Counter[str]:
    """The counts of at most _MAX_WORDS words, without the rarest ones."""
    rarest = 1
    while len(words) > _MAX_WORDS:
        words = Counter({word: count for word, count in words.items() if count > rarest})
        rarest *= 2  # few passes over the counts, whatever their size
    return words


def _short_lines(text: str) -> Iterator[str]:
    """Cut the text at spaces, or between characters where there are none, into lines that SentencePiece accepts."""
    raw = text.encode()
    start = 0
    while len(raw) - start > _MAX_TRAINING_BYTES:
        limit = start + _MAX_TRAINING_BYTES
        # at the last space that fits: a word cut in two would teach pieces that are none
        end = raw.rfind(b" ", start + 1, limit + 1)
        if end < 0:
            end = limit
            while raw[end] & 0xC0 == 0x80:  # inside a character
                end -= 1
        if part := raw[start:end].strip():
            yield part.decode()
        start = end
    if part := raw[start:].strip():
        yield part.decode()


def _explain(message: str, config: TokenizerConfig, asked: int, key: str) -> str:
    """SentencePiece's message about the vocabulary's size, in terms of the configuration."""
    if smallest := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return (
            f"tokenizer.{key} is {asked}, but the text's characters alone need {smallest[1]} pieces; "
            f"set tokenizer.{key} well above that, or lower tokenizer.character_coverage"
        )
    if "!sentences_.empty()" in message:
        return "the tokenizer cannot be built: there is no text to learn it from"
    return f"the {config.type} tokenizer could not be built with tokenizer.{key}={asked}: {message}"
