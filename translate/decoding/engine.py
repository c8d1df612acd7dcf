"""What turns encoded sentences into hypotheses: the models of this package, or another runtime behind the same face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from translate.decoding.hypotheses import Hypothesis, SearchConfig
from translate.errors import UserError

if TYPE_CHECKING:
    import torch

Sentence = tuple[int, ...]  # source tokens, without EOS


class EngineName(StrEnum):
    """native is this package; ctranslate2 another project's runtime, an optional extra."""

    native = "native"
    ctranslate2 = "ctranslate2"


class Precision(StrEnum):
    """Arithmetic, or how the weights are kept: which of them there are depends on engine and device.

    fp16, for decoding: on a GPU half-precision arithmetic, on a CPU half-precision weights and fp32 arithmetic
    """

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Engine(Protocol):
    """max_length is what it can read or write of one sentence, in tokens, BOS and EOS not counted.

    precision is what it computes in, never auto.
    """

    @property
    def max_length(self) -> int: ...

    @property
    def precision(self) -> Precision: ...

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Callable[[float], None] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, best first; neither the order nor the batches change them.

        progress is told, now and then, the share of sentences that are done.
        """
        ...


def check_batching(*, batch_tokens: int, batch_sentences: int, workers: int) -> None:
    """Raise UserError for negative numbers; 0 leaves the choice to the engine."""
    values = {"batch_tokens": batch_tokens, "batch_sentences": batch_sentences, "workers": workers}
    for name, value in values.items():
        if value < 0:
            raise UserError(f"{name} ({value}) must not be negative; 0 leaves the choice to the engine")


def choose_device(device: Device) -> torch.device:
    """The device asked for; auto: a GPU if there is one. Raises UserError if one is missing."""
    import torch  # not needed by other engines, and it takes longer to import than all the rest

    if device == Device.cuda and not torch.cuda.is_available():
        raise UserError("device=cuda, but PyTorch finds no GPU here; use device=cpu or device=auto")
    if device == Device.auto:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device.value)
