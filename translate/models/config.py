"""The common part of the configurations of all architectures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from translate.errors import UserError
from translate.models.vocabulary import Vocabularies


class Tying(StrEnum):
    """Which embedding matrices are one: none, the target's input and output, or the source's as well."""

    none = "none"
    target = "target"
    all = "all"


@dataclass(kw_only=True)
class ModelConfig:
    """Settings of every architecture, which its own configuration extends.

    architecture  its name in ARCHITECTURES
    d_model       width of the embeddings, and of what the output layer reads
    dropout       of embeddings and between layers
    token_dropout share of tokens whose embedding is zeroed whole
    max_length    tokens of a sentence, on either side, EOS not counted
    """

    RATES: ClassVar[tuple[str, ...]] = ("dropout", "token_dropout")  # from 0 to below 1
    SIZES: ClassVar[tuple[str, ...]] = ("d_model", "max_length")  # at least 1

    architecture: str = ""
    d_model: int = 512
    tying: Tying = Tying.all
    dropout: float = 0.1
    token_dropout: float = 0.0
    max_length: int = 256

    @property
    def reads_packed(self) -> bool:
        """True if the model can be trained on packed batches, of sentences end to end."""
        return False

    @property
    def head_width(self) -> int:
        """Width of a self-attention head; 0 without self-attention."""
        return 0

    @property
    def has_attention(self) -> bool:
        """True if the model returns attention weights of its decoder."""
        return True

    def check(self, vocabularies: Vocabularies) -> None:
        """Raise UserError for values that make no model."""
        for name in self.RATES:
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"model.{name} ({getattr(self, name)}) must be at least 0 and below 1")
        for name in self.SIZES:
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} ({getattr(self, name)}) must be at least 1")
        if self.tying is Tying.all and not vocabularies.shared:
            raise UserError(
                "model.tying=all needs one vocabulary for both languages: set tokenizer.joint=true, or "
                "model.tying=target"
            )
