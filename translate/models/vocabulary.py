"""What a model must know of the tokenizer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Vocabularies:
    """Sizes of the two vocabularies; shared when they are one and the same."""

    source: int
    target: int
    shared: bool
