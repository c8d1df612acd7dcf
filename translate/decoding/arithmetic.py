"""The arithmetic of a model on its device in one precision: types of products, and copies with fp16 weights."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

from translate.device import Precision, without_tf32
from translate.models.layers import with_half_weights
from translate.models.seq2seq import Seq2Seq

_AUTOCAST = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}


@dataclass(eq=False)
class Arithmetic:
    """Precision, never auto, of a model's arithmetic on a device."""

    device: torch.device
    precision: Precision
    # with the versions of the weights that it was made from
    _half_model: tuple[list[int], Seq2Seq] | None = field(default=None, init=False)

    @property
    def autocast(self) -> torch.dtype | None:
        """Type of products under torch.autocast; None without it."""
        return None if self._has_half_weights else _AUTOCAST.get(self.precision)

    @property
    def _has_half_weights(self) -> bool:
        # but on a GPU, fp16 is a matter of weights alone
        return self.precision is Precision.fp16 and self.device.type != "cuda"

    def exact_products(self) -> AbstractContextManager[object]:
        """Context without TF32 where it would round the factors of products, which precision=fp32 must not."""
        return without_tf32() if self.device.type == "cuda" and self.precision is Precision.fp32 else nullcontext()

    def for_search(self, model: Seq2Seq) -> Seq2Seq:
        """The model, or a copy with half weights; made again when the model has changed, as it may be in training."""
        if not self._has_half_weights:
            return model
        versions = [parameter._version for parameter in model.parameters()]
        if self._half_model is None or self._half_model[0] != versions:
            self._half_model = versions, with_half_weights(model)
        return self._half_model[1]

    def forget(self) -> None:
        """Let the next search copy the weights anew."""
        self._half_model = None
