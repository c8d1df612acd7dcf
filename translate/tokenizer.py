"""SentencePiece wrapped once: sentences to token ids and back, jointly or with one vocabulary per side.

SentencePiece: Kudo and Richardson 2018.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import sentencepiece

from translate.errors import UserError
from translate.files import write_bytes
from translate.sentencepiece_model import CONTROL, USER_DEFINED, symbols
from translate.subword_sampling import sample_segmentations
from translate.tags import split_tag
from translate.text import TEXT_FORM, normalise

_JOINT_FILE = "tokenizer.model"
_SOURCE_FILE = "source.tokenizer.model"
_TARGET_FILE = "target.tokenizer.model"
TOKENIZER_FILES = (_JOINT_FILE, _SOURCE_FILE, _TARGET_FILE)
_NUM_SPECIAL = 4
_MAX_THREADS = 8
# With 32,000 pieces, 200,000 pairs instead of 100,000 made held-out text 0.5 % shorter (284,000: 0.6 %) and learning
# took twice as long; with 8,000 pieces 0.3 %.
_SENTENCES_PER_PIECE, _FEWEST_SENTENCES = 6, 100_000
_LINE_BREAKS = re.compile("[\x00\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


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

    @property
    def sizes(self) -> tuple[int, int]:
        """Pieces asked for on the source and on the target side."""
        if self.joint:
            return self.vocab_size, self.vocab_size
        sides = self.source_vocab_size, self.target_vocab_size
        source, target = (self.vocab_size if size is None else size for size in sides)
        return source, target

    def check(self) -> None:
        """Raise UserError for numbers that make no sense."""
        for key in ("vocab_size", "source_vocab_size", "target_vocab_size"):
            size = getattr(self, key)
            if size is not None and size <= _NUM_SPECIAL:
                raise UserError(f"tokenizer.{key} ({size}) must be above {_NUM_SPECIAL}, the number of special tokens")
        if self.max_sentences < 0:
            raise UserError(f"tokenizer.max_sentences ({self.max_sentences}) must not be negative; 0: by vocab_size")

    @property
    def sample_size(self) -> int:
        """Lines per side that the vocabulary is learned from."""
        return self.max_sentences or max(_FEWEST_SENTENCES, _SENTENCES_PER_PIECE * max(self.sizes))


class Tokenizer:
    """Sentences to ids and back; without a target model, both sides share the source's.

    Ids 0 to 3 are PAD, UNK, BOS and EOS; encoders add none of them. text_form is the version of normalise() that the
    models were learned with, and that lines are read in.

    tags          symbols that count in front of a source line only; elsewhere, and on the target side, their characters
                  are ordinary text
    user_symbols  symbols that count wherever they stand on the source side
    """

    def __init__(self, source_model: bytes, target_model: bytes | None = None, *, text_form: int = TEXT_FORM) -> None:
        self.text_form = text_form
        self._models = [source_model] if target_model is None else [source_model, target_model]
        self._source = _processor(source_model)
        self._target = self._source if target_model is None else _processor(target_model)
        digest = hashlib.sha256()
        for model in self._models:
            digest.update(hashlib.sha256(model).digest())
        self.hash = digest.hexdigest()
        self._tag_ids = symbols(source_model, CONTROL)
        self.tags = tuple(self._tag_ids)
        self.user_symbols = tuple(symbols(source_model, USER_DEFINED))

    @property
    def shared(self) -> bool:
        return self._source is self._target

    @property
    def source_vocab_size(self) -> int:
        return int(self._source.get_piece_size())

    @property
    def target_vocab_size(self) -> int:
        return int(self._target.get_piece_size())

    def encode_source(
        self, lines: Sequence[str], *, tag: str | None = None, sampling: float = 0.0, seed: int = 0
    ) -> list[list[int]]:
        """Ids of each line, normalised first; with sampling above 0, of a segmentation drawn at random.

        tag: put in front of each line, all of which is text then, "" for none; None: read from the front of each line.
        sampling: unigram: how sharply likely segmentations are preferred, small is wild, 0.1 to 0.5 are usual;
        BPE: the share of merges that are dropped, 0.1 is usual. The result is a function of (lines, tag, sampling,
        seed) alone.
        """
        fronts, texts = self._separate(lines, tag)
        encoded = self._encode(self._source, texts, sampling=sampling, seed=seed)
        return [[*front, *ids] for front, ids in zip(fronts, encoded, strict=True)]

    def encode_target(self, lines: Sequence[str], *, sampling: float = 0.0, seed: int = 0) -> list[list[int]]:
        """Like encode_source, for the other side."""
        return self._encode(self._target, lines, sampling=sampling, seed=seed)

    def decode_target(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of each sequence of ids, special ones left out; never holds a line break of any kind."""
        return _decode(self._target, ids)

    def decode_source(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Like decode_target, for the other side; a tag in front becomes text as well."""
        tags = {token: f"{tag} " for tag, token in self._tag_ids.items()}
        fronts = [tags.get(int(sentence[0]), "") if len(sentence) else "" for sentence in ids]
        return [front + text for front, text in zip(fronts, _decode(self._source, ids), strict=True)]

    def source_pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces as SentencePiece writes them, a space being "▁": for attention maps."""
        return [self._source.id_to_piece(int(token)) for token in ids]

    def target_pieces(self, ids: Sequence[int]) -> list[str]:
        """Like source_pieces, for the other side."""
        return [self._target.id_to_piece(int(token)) for token in ids]

    def _separate(self, lines: Sequence[str], tag: str | None) -> tuple[list[list[int]], list[str]]:
        """The ids of each line's tag, and the text behind it."""
        if tag is None and self.tags:
            found = [split_tag(normalise(line, self.text_form), self.tags) for line in lines]
        elif not tag or tag in self.tags:
            found = [(tag or "", line) for line in lines]
        else:  # of an older model, where it is a symbol anywhere
            found = [("", f"{tag} {line}") for line in lines]
        fronts = [[self._tag_ids[front]] if front else [] for front, _ in found]
        return fronts, [text for _, text in found]

    def save(self, directory: str | Path) -> None:
        """Write tokenizer.model, or source.tokenizer.model and target.tokenizer.model."""
        names = [_JOINT_FILE] if self.shared else [_SOURCE_FILE, _TARGET_FILE]
        for name, model in zip(names, self._models, strict=True):
            write_bytes(Path(directory) / name, model)

    @classmethod
    def load(cls, directory: str | Path, *, text_form: int = TEXT_FORM) -> Tokenizer:
        """Read what save wrote. Raises UserError when a file is missing or damaged.

        text_form  version of the text form that the models were learned with
        """
        directory = Path(directory)
        if (directory / _SOURCE_FILE).exists() or (directory / _TARGET_FILE).exists():
            paths = [directory / _SOURCE_FILE, directory / _TARGET_FILE]
        else:
            paths = [directory / _JOINT_FILE]
        models = [_read_model(path) for path in paths]
        return cls(*models, text_form=text_form)

    def _encode(
        self,
        processor: sentencepiece.SentencePieceProcessor,
        lines: Sequence[str],
        *,
        sampling: float,
        seed: int,
    ) -> list[list[int]]:
        texts = [normalise(line, self.text_form) for line in lines]
        if not texts:
            return []
        if not sampling:
            return processor.encode(texts, out_type=int, num_threads=_num_threads(len(texts)))
        return sample_segmentations(processor, texts, strength=sampling, seed=seed)


def _decode(processor: sentencepiece.SentencePieceProcessor, ids: Sequence[Sequence[int]]) -> list[str]:
    plain = [[int(token) for token in sentence if token >= _NUM_SPECIAL] for sentence in ids]
    texts = processor.decode(plain, num_threads=_num_threads(len(plain))) if plain else []
    return [_LINE_BREAKS.sub(" ", text) for text in texts]


def _num_threads(num_lines: int) -> int:
    return max(1, min(_MAX_THREADS, os.cpu_count() or 1, num_lines // 100))


def _processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    processor.load_from_serialized_proto(model)
    return processor


def _read_model(path: Path) -> bytes:
    try:
        model = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the tokenizer cannot be read: {error.strerror}") from None
    try:
        _processor(model)
    except RuntimeError:
        raise UserError(f"{path}: not a SentencePiece model, or a damaged one; copy or train it again") from None
    return model
