"""A SentencePiece model with its pieces in the order of another program's ids, PAD, UNK, BOS and EOS first.

Published models number pieces by a list of their own, vocab.json, whatever ids SentencePiece gave them. Which pieces a
text is cut into depends on their scores, not on their order, so the reordered model cuts it in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.errors import UserError
from translate.tokenizer import BOS, EOS, PAD, UNK

PIECES = "sentencepiece.bpe.model"
RESERVED = {PAD: "<pad>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}
_MAX_MODEL_BYTES = 1 << 28  # a larger file is not parsed: a message takes several times its size in memory


def read_pieces(path: Path) -> Any:
    """A SentencePiece model as a message. Raises UserError for a file that is none."""
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise UserError(f"{path}: this file of the model is missing; copy it, too")
    if path.stat().st_size > _MAX_MODEL_BYTES:
        raise UserError(f"{path}: not a SentencePiece model: it has more than {_MAX_MODEL_BYTES:,} bytes")
    model = _messages().ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        raise UserError(f"{path}: not a SentencePiece model, or a damaged one; copy it again") from None
    if not model.pieces:
        raise UserError(f"{path}: not a SentencePiece model: it has no pieces")
    return model


def text_pieces(model: Any) -> list[str]:
    """The pieces that texts are cut into."""
    kinds = (model.SentencePiece.NORMAL, model.SentencePiece.USER_DEFINED, model.SentencePiece.BYTE)
    return [piece.piece for piece in model.pieces if piece.type in kinds]


def is_unigram(model: Any) -> bool:
    return bool(model.trainer_spec.model_type == model.trainer_spec.UNIGRAM)


def reordered(model: Any, names: Sequence[str], *, controls: Collection[str]) -> bytes:
    """Serialise a copy of the model with these pieces in this order, behind PAD, UNK, BOS and EOS.

    names     from id 4 on, each once; all of text_pieces(model) are among them
    controls  names that no text becomes, such as tokens of languages
    """
    kind = type(model).SentencePiece
    known = {piece.piece: piece for piece in model.pieces}
    # a unigram model has a type for pieces that are decoded only; with BPE they would take part in merges
    missing = kind.UNUSED if is_unigram(model) else kind.CONTROL
    result = type(model)()
    for token, name in RESERVED.items():
        result.pieces.add(piece=name, type=kind.UNKNOWN if token == UNK else kind.CONTROL)
    texts = set(text_pieces(model))
    for name in names:
        if name in texts and name not in controls:
            result.pieces.add().CopyFrom(known[name])
        else:
            result.pieces.add(piece=name, type=kind.CONTROL if name in controls else missing)
    result.trainer_spec.CopyFrom(model.trainer_spec)
    result.normalizer_spec.CopyFrom(model.normalizer_spec)
    result.denormalizer_spec.CopyFrom(model.denormalizer_spec)
    # the trained model had its special tokens at other ids, which a loaded model would still report
    specification = result.trainer_spec
    specification.pad_id, specification.unk_id, specification.bos_id, specification.eos_id = PAD, UNK, BOS, EOS
    specification.pad_piece, specification.unk_piece = RESERVED[PAD], RESERVED[UNK]
    specification.bos_piece, specification.eos_piece = RESERVED[BOS], RESERVED[EOS]
    specification.vocab_size = len(result.pieces)
    return bytes(result.SerializeToString())


def new_pieces(scores: Mapping[str, float], *, unigram: bool, charsmap: bytes) -> Any:
    """A SentencePiece model of these pieces; charsmap: its compiled table for the normalisation of characters."""
    messages = _messages()
    model = messages.ModelProto()
    model.pieces.add(piece=RESERVED[UNK], type=model.SentencePiece.UNKNOWN)
    for name, score in scores.items():
        model.pieces.add(piece=name, score=score)
    model.trainer_spec.model_type = messages.TrainerSpec.UNIGRAM if unigram else messages.TrainerSpec.BPE
    model.normalizer_spec.precompiled_charsmap = charsmap
    return model


def _messages() -> Any:
    """SentencePiece's own description of its files; protobuf is imported where it is needed."""
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2
