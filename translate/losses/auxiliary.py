"""The contract of an auxiliary loss.

A loss is a function of its configuration, the model, a batch and the model's output for it; it returns a sum over the
batch's target tokens, (), that can be learned from:

    def my_loss(config: MyLossConfig, model: Seq2Seq, batch: Batch, output: Output) -> Tensor: ...

It may run the model again, with other dropout or with `embedding_noise`. With NEEDS_ATTENTION `output.attention` holds
the attention weights. The sum is divided by the number of target tokens where all losses are (training/step.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from translate.errors import require_share


@dataclass(kw_only=True)
class AuxiliaryLossConfig:
    """Settings of every auxiliary loss.

    weight  factor of the loss before it is added to the main one
    start   share of the run after which it takes part: a second pass may be affordable near the end
    """

    NEEDS_ATTENTION: ClassVar[bool] = False

    weight: float = 1.0
    start: float = 0.0

    def check(self, key: str) -> None:
        """Raise UserError for values out of range; `key` is the option that they belong to."""
        require_share(f"{key}.start", self.start)

    @classmethod
    def tiny(cls) -> Self:
        """Settings for tests on models of a few thousand weights."""
        return cls()
