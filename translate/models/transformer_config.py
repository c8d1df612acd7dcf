"""Settings of the Transformer."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Self

from translate.errors import UserError
from translate.models.attention import AttentionConfig, Norm, Weighting
from translate.models.layers import Positions
from translate.models.seq2seq import Tying

MOST_PREFIX = 16  # tokens


class NormOrder(StrEnum):
    pre = "pre"
    post = "post"


class Activation(StrEnum):
    relu = "relu"
    gelu = "gelu"
    swish = "swish"
    swiglu = "swiglu"


@dataclass(kw_only=True)
class TransformerConfig(AttentionConfig):
    """Settings of a Transformer.

    norm_order        pre: norms before sublayers; post: after residual connections (Vaswani et al. 2017)
    scale_embeddings  multiply embeddings by √d_model
    output_bias       add a bias to the logits
    source_prefix     token ids that the model puts in front of every source sentence: in imported multilingual models,
                      the language token
    target_prefix     token ids that the decoder reads instead of BOS
    """

    RATES: ClassVar = (*AttentionConfig.RATES, "activation_dropout")
    SIZES: ClassVar = (*AttentionConfig.SIZES, "ffn_dim")
    COUNTS: ClassVar = ("encoder_layers", "decoder_layers")

    architecture: str = "transformer"
    ffn_dim: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 6
    norm_order: NormOrder = NormOrder.pre
    activation: Activation = Activation.relu
    positions: Positions = Positions.sinusoidal
    activation_dropout: float = 0.0
    scale_embeddings: bool = True
    output_bias: bool = False
    source_prefix: list[int] = field(default_factory=list)
    target_prefix: list[int] = field(default_factory=list)

    @property
    def reads_packed(self) -> bool:
        return super().reads_packed and not (self.source_prefix or self.target_prefix)

    @property
    def max_positions(self) -> int:
        return super().max_positions + max(len(self.source_prefix), len(self.target_prefix) - 1, 0)

    def check(self) -> None:
        super().check()
        if self.d_model % 2:
            raise UserError(f"model.d_model ({self.d_model}) must be even")
        if self.positions is Positions.fairseq and self.d_model < 4:
            raise UserError(f"model.positions=fairseq: model.d_model ({self.d_model}) must be at least 4")
        if self.positions is Positions.rotary and self.head_width % 2:
            raise UserError(f"model.positions=rotary: the width of a head ({self.head_width}) must be even")
        for name in ("source_prefix", "target_prefix"):
            prefix = getattr(self, name)
            if len(prefix) > MOST_PREFIX or not all(type(token) is int and token >= 0 for token in prefix):
                raise UserError(f"model.{name} ({prefix}) must be at most {MOST_PREFIX} token ids")

    @classmethod
    def tiny(cls, **changes: Any) -> Self:
        sizes = {"ffn_dim": 32, "num_heads": 4, "encoder_layers": 2, "decoder_layers": 3}
        return super().tiny(**sizes | changes)

    @classmethod
    def variants(cls) -> list[dict[str, Any]]:
        return [
            {"norm_order": NormOrder.post},
            {"norm": Norm.rms_norm, "activation": Activation.swiglu},
            {"qk_norm": True, "bias": False},
            {"qk_norm": True, "bias": False, "norm": Norm.rms_norm, "positions": Positions.rotary},
            {"positions": Positions.learned, "activation": Activation.gelu},
            {"positions": Positions.none},
            {"positions": Positions.rotary, "activation": Activation.swiglu},
            {"attention": Weighting.sigmoid},
            {"num_heads": 1},
            {"tying": Tying.target},
            {"tying": Tying.none},
            {"norm_order": NormOrder.post, "activation": Activation.swish, "output_bias": True},
            {"positions": Positions.fairseq, "scale_embeddings": False},
            {"source_prefix": [9], "target_prefix": [3, 8]},
        ]
