"""SentencePiece (Kudo and Richardson 2018) wrapped once: sentences to token ids and back, and its model files.

The vocabulary is joint, or there is one per side. Tags, such as <2de>, are control symbols of the source model: a
control symbol has an id, but no text ever becomes one, whereas SentencePiece matches user-defined symbols anywhere in a
text. In training, tags are user-defined symbols nevertheless, so that the trainer learns no piece with the same
characters; with_controls changes their type afterwards, in the serialised model (sentencepiece_model.proto).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import sentencepiece

from translate.errors import UserError, excerpt
from translate.files import write_bytes
from translate.tags import split_tag
from translate.text import TEXT_FORM, normalise

PAD, UNK, BOS, EOS = range(4)  # ids of the special tokens in every vocabulary
_JOINT_FILE = "tokenizer.model"
_SOURCE_FILE = "source.tokenizer.model"
_TARGET_FILE = "target.tokenizer.model"
TOKENIZER_FILES = (_JOINT_FILE, _SOURCE_FILE, _TARGET_FILE)
NUM_SPECIAL = EOS + 1
_MAX_THREADS = 8
_MAX_MODEL_BYTES = 1 << 28
_LINE_BREAKS = re.compile("[\x00\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


class Tokenizer:
    """Sentences to ids and back; without a target model, both sides share the source's.

    Ids 0 to 3 are PAD, UNK, BOS and EOS; encoders add none of them.

    text_form     version of normalise() that the models were learned with, and that lines are read in
    source_processor, target_processor  SentencePiece's objects, for subword sampling
    tags          symbols that count in front of a source line only; elsewhere, and on the target side, their
                  characters are ordinary text
    user_symbols  symbols that count wherever they stand on the source side
    reverse_target  target ids are in reverse order, for a model that writes from right to left
    """

    def __init__(
        self,
        source_model: bytes,
        target_model: bytes | None = None,
        *,
        text_form: int = TEXT_FORM,
        reverse_target: bool = False,
    ) -> None:
        self.text_form = text_form
        self.reverse_target = reverse_target
        self._models = [source_model] if target_model is None else [source_model, target_model]
        self.source_processor = _processor(source_model)
        self.target_processor = self.source_processor if target_model is None else _processor(target_model)
        # a hash of hashes: where one model ends and the next begins counts as well
        digest = hashlib.sha256()
        for model in self._models:
            digest.update(hashlib.sha256(model).digest())
        self.hash = digest.hexdigest()
        self._tag_ids = symbols(source_model, CONTROL)
        self.tags = tuple(self._tag_ids)
        self.user_symbols = tuple(symbols(source_model, USER_DEFINED))

    @cached_property
    def shared(self) -> bool:
        """True if an id stands for the same piece on both sides."""
        if len(self._models) == 1:
            return True
        sizes = range(self.source_vocab_size), range(self.target_vocab_size)
        return self.source_pieces(sizes[0]) == self.target_pieces(sizes[1])

    @property
    def source_vocab_size(self) -> int:
        return int(self.source_processor.get_piece_size())

    @property
    def target_vocab_size(self) -> int:
        return int(self.target_processor.get_piece_size())

    def encode_source(self, lines: Sequence[str], *, tag: str | None = None) -> list[list[int]]:
        """Ids of each line, normalised first; tag: see separate_tags."""
        fronts, texts = self.separate_tags(lines, tag)
        encoded = _encode(self.source_processor, texts)
        return [[*front, *ids] for front, ids in zip(fronts, encoded, strict=True)]

    def encode_target(self, lines: Sequence[str]) -> list[list[int]]:
        """Ids of each line, normalised first."""
        return self.in_order(_encode(self.target_processor, self.normalise(lines)))

    def in_order(self, ids: list[list[int]]) -> list[list[int]]:
        """Target sentences, of which the first token is the first of the text, in the order that models write them."""
        return [sentence[::-1] for sentence in ids] if self.reverse_target else ids

    def normalise(self, lines: Sequence[str]) -> list[str]:
        """The lines in the text form of the models."""
        return [normalise(line, self.text_form) for line in lines]

    def separate_tags(self, lines: Sequence[str], tag: str | None = None) -> tuple[list[list[int]], list[str]]:
        """Id of each source line's tag, [] for none; and the normalised text behind it.

        tag  put in front of each line, all of which is text then, "" for none; None: read from the front of each line
        """
        texts = self.normalise(lines)
        if tag is None and self.tags:
            found = [split_tag(text, self.tags) for text in texts]
        elif not tag or tag in self.tags:
            found = [(tag or "", text) for text in texts]
        else:  # in an older model the tag is a user-defined symbol, which counts anywhere
            found = [("", text) for text in self.normalise([f"{tag} {line}" for line in lines])]
        return [[self._tag_ids[front]] if front else [] for front, _ in found], [text for _, text in found]

    def decode_target(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of each sequence of ids, special ones left out; never holds a line break of any kind."""
        return _decode(self.target_processor, [sentence[::-1] for sentence in ids] if self.reverse_target else ids)

    def decode_source(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Like decode_target, for the other side; a tag in front becomes text as well."""
        tags = {token: f"{tag} " for tag, token in self._tag_ids.items()}
        fronts = [tags.get(int(sentence[0]), "") if len(sentence) else "" for sentence in ids]
        return [front + text for front, text in zip(fronts, _decode(self.source_processor, ids), strict=True)]

    def source_pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces as SentencePiece writes them, a space being "▁": for attention maps."""
        return [self.source_processor.id_to_piece(int(token)) for token in ids]

    def target_pieces(self, ids: Sequence[int]) -> list[str]:
        """Like source_pieces, for the other side."""
        return [self.target_processor.id_to_piece(int(token)) for token in ids]

    def save(self, directory: str | Path) -> None:
        """Write tokenizer.model, or source.tokenizer.model and target.tokenizer.model."""
        names = [_JOINT_FILE] if len(self._models) == 1 else [_SOURCE_FILE, _TARGET_FILE]
        for name, model in zip(names, self._models, strict=True):
            write_bytes(Path(directory) / name, model)

    @classmethod
    def load(cls, directory: str | Path, *, text_form: int = TEXT_FORM, reverse_target: bool = False) -> Tokenizer:
        """Read what save wrote. Raises UserError when a file is missing or damaged.

        text_form  version of the text form that the models were learned with
        reverse_target  the model beside them writes from right to left
        """
        directory = Path(directory)
        # either of the two: the error then names the one that is missing
        if (directory / _SOURCE_FILE).exists() or (directory / _TARGET_FILE).exists():
            paths = [directory / _SOURCE_FILE, directory / _TARGET_FILE]
        else:
            paths = [directory / _JOINT_FILE]
        models = [read_model(path) for path in paths]
        return cls(*models, text_form=text_form, reverse_target=reverse_target)


def _encode(processor: sentencepiece.SentencePieceProcessor, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = processor.encode(texts, out_type=int, num_threads=_num_threads(len(texts))) if texts else []
    return ids


def _decode(processor: sentencepiece.SentencePieceProcessor, ids: Sequence[Sequence[int]]) -> list[str]:
    # special tokens have no text, but SentencePiece would write some for UNK
    plain = [[int(token) for token in sentence if token >= NUM_SPECIAL] for sentence in ids]
    texts = processor.decode(plain, num_threads=_num_threads(len(plain))) if plain else []
    # byte pieces can spell any character, and a line break would shift all lines after it
    return [_LINE_BREAKS.sub(" ", text) for text in texts]


def _num_threads(num_lines: int) -> int:
    return max(1, min(_MAX_THREADS, os.cpu_count() or 1, num_lines // 100))  # few lines are not worth a thread


def _processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    processor.load_from_serialized_proto(model)
    return processor


def read_model(path: Path) -> bytes:
    """A model's bytes, checked. Raises UserError for a file that is damaged, or another program's."""
    if path.is_fifo():  # opening it would wait for a writer
        raise UserError(f"{path}: that is a pipe, and the file of a tokenizer is expected")
    try:
        with open(path, "rb") as file:
            # in parts: the name may be a link to an endless device, and one read takes the memory of the whole at once
            model = b"".join(islice(iter(partial(file.read, 1 << 20), b""), _MAX_MODEL_BYTES // (1 << 20) + 1))
    except OSError as error:
        raise UserError(f"{path}: the tokenizer cannot be read: {error.strerror}") from None
    if len(model) > _MAX_MODEL_BYTES:
        raise UserError(f"{path}: not a SentencePiece model: it has more than {_MAX_MODEL_BYTES:,} bytes")
    try:
        processor = _processor(model)  # to find damage here, where the file is known
    except (RuntimeError, UnicodeDecodeError):  # the second, where its message names a piece that is not UTF-8
        raise UserError(f"{path}: not a SentencePiece model, or a damaged one; copy or train it again") from None
    found = processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()
    if found != (PAD, UNK, BOS, EOS):
        raise UserError(
            f"{path}: PAD, UNK, BOS and EOS have the ids {found} there, expected 0 to 3: train it with --pad_id={PAD} "
            f"--unk_id={UNK} --bos_id={BOS} --eos_id={EOS}"
        )
    # SentencePiece itself keeps any bytes, and fails when it writes them
    for token in range(processor.get_piece_size()):
        try:
            processor.id_to_piece(token)
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: piece {token:,} is not UTF-8: {excerpt(error.object)}; copy it again") from None
    try:
        for kind in (CONTROL, USER_DEFINED):
            symbols(model, kind)
    except (IndexError, ValueError):
        raise UserError(f"{path}: the symbols of this SentencePiece model cannot be read; copy it again") from None
    return model


CONTROL, USER_DEFINED = 3, 4  # SentencePiece.Type
_NORMAL = 1
_MAX_VARINT_BITS = 63
_PIECES = 0x0A  # ModelProto, field 1: SentencePiece, each with its length
_TEXT, _SCORE, _TYPE = 0x0A, 0x15, 0x18  # SentencePiece, fields 1 to 3: string, float, enum


@dataclass(frozen=True)
class Piece:
    """A piece of a serialised model; kind_offset: of the byte that holds its kind, None for normal pieces."""

    text: str
    kind: int
    kind_offset: int | None


def pieces(model: bytes) -> Iterator[Piece]:
    """The pieces of a model, in the order of their ids. Raises IndexError or ValueError for a damaged one."""
    offset = 0
    while offset < len(model) and model[offset] == _PIECES:  # they come before everything else
        length, start = _varint(model, offset + 1)
        offset = start + length
        yield _piece(model, start, offset)


def symbols(model: bytes, kind: int) -> dict[str, int]:
    """The symbols of a kind with their ids, without PAD, UNK, BOS and EOS."""
    found = {}
    for token, piece in islice(enumerate(pieces(model)), EOS + 1, None):
        if piece.kind not in (CONTROL, USER_DEFINED):
            break  # all symbols come before the learned pieces
        if piece.kind == kind:
            found[piece.text] = token
    return found


def with_controls(model: bytes, symbols: Collection[str]) -> bytes:
    """A copy of the model with these user-defined symbols turned into control symbols."""
    changed = bytearray(model)
    for piece in pieces(model):
        if piece.text in symbols and piece.kind == USER_DEFINED:
            assert piece.kind_offset is not None
            # one byte for another: no length in the file changes
            changed[piece.kind_offset] = CONTROL
    return bytes(changed)


def _piece(model: bytes, start: int, end: int) -> Piece:
    text, kind, kind_offset = "", _NORMAL, None
    while start < end:
        field, start = model[start], start + 1
        if field == _TEXT:
            length, start = _varint(model, start)
            text, start = model[start : start + length].decode("utf-8"), start + length
        elif field == _SCORE:
            start += 4
        elif field == _TYPE:
            kind_offset = start
            kind, start = _varint(model, start)
        else:
            raise ValueError(f"a piece has text, score and type, found field {field:#x}")
    return Piece(text, kind, kind_offset)


def _varint(model: bytes, offset: int) -> tuple[int, int]:
    """The variable-length number at an offset, and the offset after it."""
    value, shift = 0, 0
    while True:
        byte = model[offset]
        value |= (byte & 0x7F) << shift  # seven bits a byte, the lowest first
        offset, shift = offset + 1, shift + 7
        if byte < 0x80:
            return value, offset
        if shift >= _MAX_VARINT_BITS:
            raise ValueError("a number of more than 64 bits")
