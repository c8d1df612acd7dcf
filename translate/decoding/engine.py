"""Interface of decoding engines, which turn encoded sentences into hypotheses: PyTorch here, or another runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from translate.decoding.hypotheses import Hypothesis, SearchConfig
from translate.device import Precision
from translate.errors import UserError

Sentence = tuple[int, ...]  # source tokens, without EOS


class EngineName(StrEnum):
    """native is this package; ctranslate2 another project's runtime, an optional extra."""

    native = "native"
    ctranslate2 = "ctranslate2"


class Engine(Protocol):
    """A model that searches for translations.

    max_length  most tokens of a sentence that it can read or write, without BOS and EOS
    precision   in which it computes, never auto
    """

    @property
    def max_length(self) -> int: ...

    @property
    def precision(self) -> Precision: ...

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Callable[[float], None] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, best first; neither the order nor the batches change them.

        progress is called now and then with the share of sentences that are done.
        """
        ...


def check_batching(*, batch_tokens: int, batch_sentences: int, workers: int) -> None:
    """Raise UserError for negative numbers; 0 leaves the choice to the engine."""
    values = {"batch_tokens": batch_tokens, "batch_sentences": batch_sentences, "workers": workers}
    for name, value in values.items():
        if value < 0:
            raise UserError(f"{name} ({value}) must not be negative; 0 leaves the choice to the engine")
