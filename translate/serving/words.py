"""Words of lines and of their translations, for clients that show alignment and confidence word by word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from translate.decoding.alignment import words_of, words_of_pieces

_END = "</s>"  # of each part of a translation (decoding/json_records.py)


def word_fields(source: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Words of both sides, whose indices the alignment of a record (decoding/json_records.py) holds, and their scores.

    source_words, words  of the line and of its translation, in their order
    word_scores          natural logarithm of each translated word's probability: the sum over its pieces; null where
                         one of them has no finite score
    """
    tokens = zip(record["tokens"], record["token_scores"], strict=True)
    scored = [(piece, score) for piece, score in tokens if piece != _END]
    words = words_of(record["text"])
    scores: list[float | None] = [0.0] * len(words)
    spelled = words_of_pieces([piece for piece, _ in scored], record["text"])
    for indices, (_, score) in zip(spelled, scored, strict=True):
        for index in indices:
            so_far = scores[index]
            scores[index] = None if so_far is None or score is None else round(so_far + score, 6)
    return {"source_words": words_of(source), "words": words, "word_scores": scores}
