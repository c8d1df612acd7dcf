"""The settings of each way to adapt a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from translate.errors import UserError


@dataclass(kw_only=True)
class AdaptConfig:
    """From what model training begins, and what of it is trained.

    method   none: no other model; full: all of its weights; else what is added to it
    model    a run's folder or a model directory; its tokenizer, sizes and settings become this run's
    dropout  another than the model was trained with
    """

    COUNTS: ClassVar[tuple[str, ...]] = ()  # at least 1

    method: str = "none"
    model: str = ""
    dropout: float | None = None

    @property
    def begins_anew(self) -> bool:
        return self.method == "none"

    @property
    def adds_weights(self) -> bool:
        """True if the result is a small file of new weights, to be used with the model."""
        return self.method not in ("none", "full")

    def check(self) -> None:
        """Raise UserError for what makes no sense."""
        if self.begins_anew == bool(self.model):
            wanted = "adapt=full, lora, adapter or prefix" if self.begins_anew else "adapt.model=PATH"
            raise UserError(f"adapt={self.method} adapt.model={self.model}: one needs the other; set {wanted}")
        for name in self.COUNTS:
            if getattr(self, name) < 1:
                raise UserError(f"adapt.{name} ({getattr(self, name)}) must be at least 1")


@dataclass(kw_only=True)
class LoraConfig(AdaptConfig):
    """Beside every linear map W, alpha / rank · B A, with A (rank, in) and B (out, rank) (Hu et al. 2022)."""

    COUNTS: ClassVar = ("rank",)

    method: str = "lora"
    rank: int = 8
    alpha: float = 16.0


@dataclass(kw_only=True)
class AdapterConfig(AdaptConfig):
    """Behind every sublayer a bottleneck so wide, through which its result is changed (Houlsby et al. 2019)."""

    COUNTS: ClassVar = ("width",)

    method: str = "adapter"
    width: int = 32


@dataclass(kw_only=True)
class PrefixConfig(AdaptConfig):
    """So many further keys and values in every attention, which all queries see (Li and Liang 2021).

    Learned directly, without their network behind them; a learned bias begins by hiding them nearly.
    """

    COUNTS: ClassVar = ("length",)

    method: str = "prefix"
    length: int = 16
