"""The arithmetic of a model on its device in one precision: types of products, and copies with fp16 or int8 weights."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

from translate.device import Precision, without_tf32
from translate.errors import UserError
from translate.models.quantised import with_cast_weights, with_half_weights, with_int8_weights
from translate.models.seq2seq import Seq2Seq

_AUTOCAST = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}


@dataclass(eq=False)
class Arithmetic:
    """Precision, never auto, of a model's arithmetic on a device."""

    device: torch.device
    precision: Precision
    # with the versions of the weights that it was made from
    _copy: tuple[list[int], Seq2Seq] | None = field(default=None, init=False)

    def check(self, model: Seq2Seq) -> None:
        """Raise UserError for a model that the precision is not for."""
        if self.precision is Precision.int8 and not model.has_int8:
            raise UserError(
                "precision=int8: this model is no Transformer with softmax in its attention; use fp16 or fp32"
            )

    @property
    def autocast(self) -> torch.dtype | None:
        """Type of products under torch.autocast; None without it."""
        # but on a GPU, fp16 is a matter of weights alone
        has_half_weights = self.precision is Precision.fp16 and self.device.type != "cuda"
        return None if has_half_weights else _AUTOCAST.get(self.precision)

    def exact_products(self) -> AbstractContextManager[object]:
        """Context without TF32 where it would round the factors of products, which precision=fp32 must not."""
        return without_tf32() if self.device.type == "cuda" and self.precision is Precision.fp32 else nullcontext()

    def for_search(self, model: Seq2Seq) -> Seq2Seq:
        """The model in fp32, else a copy with rounded weights; made anew when the model has changed, as in training."""
        if self.precision is Precision.fp32:
            return model
        versions = [parameter._version for parameter in model.parameters()]
        if self._copy is None or self._copy[0] != versions:
            self._copy = versions, self._copied(model)
        return self._copy[1]

    def _copied(self, model: Seq2Seq) -> Seq2Seq:
        if self.autocast is not None:
            return with_cast_weights(model, self.autocast)
        return with_int8_weights(model) if self.precision is Precision.int8 else with_half_weights(model)

    def forget(self) -> None:
        """Let the next search copy the weights anew."""
        self._copy = None
