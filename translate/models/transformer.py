"""The encoder-decoder Transformer (Vaswani et al. 2017), for training and for decoding step by step.

Letters: B sentences, K hypotheses of each, N = B * K, S and T source and target tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from translate.batch import Batch, Tokens
from translate.errors import UserError
from translate.models.attention import CrossAttention, MultiHeadAttention, SelfAttention
from translate.models.attention_kernels import Weighting
from translate.models.config import ModelConfig
from translate.models.decoder_state import TransformerMemory, TransformerState
from translate.models.dropout import Dropout
from translate.models.embedded import EmbeddedSeq2Seq, draw_embedding
from translate.models.layers import Activation, FeedForward, Norm, Positions, make_norm
from translate.models.rotary import Rotary, Rotation
from translate.models.seq2seq import Maps, Output
from translate.models.visibility import Visibility, visibility
from translate.models.vocabulary import Vocabularies


class NormOrder(StrEnum):
    pre = "pre"
    post = "post"


@dataclass(kw_only=True)
class TransformerConfig(ModelConfig):
    """attention  softmax, or sigmoid, where a query need not choose among keys (Ramapuram et al. 2024)"""

    RATES: ClassVar = (*ModelConfig.RATES, "attention_dropout", "activation_dropout")
    SIZES: ClassVar = (*ModelConfig.SIZES, "ffn_dim", "num_heads", "encoder_layers", "decoder_layers")

    architecture: str = "transformer"
    ffn_dim: int = 2048
    num_heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    norm: Norm = Norm.layer_norm
    norm_order: NormOrder = NormOrder.pre
    activation: Activation = Activation.relu
    positions: Positions = Positions.sinusoidal
    attention: Weighting = Weighting.softmax
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0

    @property
    def head_width(self) -> int:
        return self.d_model // self.num_heads

    @property
    def reads_packed(self) -> bool:
        return self.attention is Weighting.softmax and self.attention_dropout == 0

    def check(self, vocabularies: Vocabularies) -> None:
        super().check(vocabularies)
        if self.d_model % self.num_heads:
            raise UserError(f"model.d_model ({self.d_model}) must be a multiple of model.num_heads ({self.num_heads})")
        if self.d_model % 2:
            raise UserError(f"model.d_model ({self.d_model}) must be even")
        if self.positions is Positions.rotary and self.head_width % 2:
            raise UserError(f"model.positions=rotary: the width of a head ({self.head_width}) must be even")


class Transformer(EmbeddedSeq2Seq):
    sublayer_ends = ("output", "outer")

    def __init__(self, config: TransformerConfig, vocabularies: Vocabularies):
        super().__init__(config, vocabularies, config.positions)
        self.rotary = _rotary(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.initialise(_draw)

    def forward(self, batch: Batch, *, return_attention: bool = False) -> Output:
        memory, across = self._read(batch.source)
        if batch.source.is_packed:
            across = visibility(batch.target, batch.source, causal=False)
        rotation = self._rotation(batch.target.positions)
        own = visibility(batch.target, batch.target, causal=True, rotation=rotation)
        x = self.target_embedding(batch.target.ids, batch.target.positions)
        hidden, attention = self.decoder(x, memory, own, across, return_attention=return_attention)
        return Output(hidden, self.projection.weight, attention)

    def look(self, batch: Batch) -> tuple[Output, Maps]:
        watched: list[tuple[MultiHeadAttention, str]] = [
            *((layer.self_attention, "encoder") for layer in self.encoder.layers),
            *((layer.self_attention, "decoder") for layer in self.decoder.layers),
            *((layer.cross_attention, "cross") for layer in self.decoder.layers),
        ]
        maps: Maps = {"encoder": [], "decoder": [], "cross": []}
        try:
            for attention, kind in watched:
                attention.watcher = maps[kind].append
            return self(batch, return_attention=True), maps
        finally:
            for attention, _ in watched:
                attention.watcher = None

    def _read(self, source: Tokens) -> tuple[Tensor, Visibility]:
        """The encoder's last layer, (B, S, D) or (T, D), and which of it may be attended to."""
        visible = visibility(source, source, causal=False, rotation=self._rotation(source.positions))
        return self.encoder(self.source_embedding(source.ids, source.positions), visible), visible

    def _rotation(self, positions: Tensor) -> Rotation | None:
        return None if self.rotary is None else self.rotary(positions)

    def encode(self, source: Tokens) -> TransformerMemory:
        memory, visible = self._read(source)
        assert visible.bias is not None, "search reads padded sentences"
        pairs = [layer.cross_attention.keys_and_values(memory) for layer in self.decoder.layers]
        return TransformerMemory([key for key, _ in pairs], [value for _, value in pairs], visible.bias)

    def start(self, memory: TransformerMemory) -> TransformerState:  # type: ignore[override]
        return TransformerState.empty(memory, layers=len(self.decoder.layers))

    def step(self, tokens: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:  # type: ignore[override]
        # a sentence that is over may be stepped on until it leaves: its positions must exist, that is all
        positions = state.positions.clamp(max=self.max_length)
        x = self.target_embedding(tokens, positions.repeat_interleave(state.num_hypotheses))
        x = x.unflatten(0, (-1, state.num_hypotheses))  # (B, K, D)
        rotation = self._rotation(positions[:, None])
        state.advance()
        for index, layer in enumerate(self.decoder.layers):
            x = layer.step(x, state, index, rotation)
        return self.projection(self.decoder.norm(x).flatten(0, 1)), state


class Encoder(nn.Module):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.layers = cast(Sequence[EncoderLayer], layers)
        self.norm = _final_norm(config)

    def forward(self, x: Tensor, visible: Visibility) -> Tensor:
        for layer in self.layers:
            x = layer(x, visible)
        return self.norm(x)


class Decoder(nn.Module):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.layers = cast(Sequence[DecoderLayer], layers)
        self.norm = _final_norm(config)

    def forward(
        self, x: Tensor, memory: Tensor, own: Visibility, across: Visibility, *, return_attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        attention = None
        for layer in self.layers:
            last = layer is self.layers[-1]
            x, attention = layer(x, memory, own, across, return_attention=return_attention and last)
        return self.norm(x), attention


class Residual(nn.Module):
    """x + sublayer(norm(x)), or norm(x + sublayer(x)): where the norm stands is the layer's only choice."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.norm = make_norm(config.norm, config.d_model)
        self.pre = config.norm_order is NormOrder.pre
        self.dropout = Dropout(config.dropout)

    def enter(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.pre else x

    def leave(self, x: Tensor, change: Tensor) -> Tensor:
        x = x + self.dropout(change)
        return x if self.pre else self.norm(x)


class EncoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention = SelfAttention(**_attention(config))
        self.feed_forward = _feed_forward(config)
        self.around_attention = Residual(config)
        self.around_feed_forward = Residual(config)

    def forward(self, x: Tensor, visible: Visibility) -> Tensor:
        y = self.around_attention.enter(x)
        x = self.around_attention.leave(x, self.self_attention(y, visible))
        return self.around_feed_forward.leave(x, self.feed_forward(self.around_feed_forward.enter(x)))


class DecoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.self_attention = SelfAttention(**_attention(config))
        self.cross_attention = CrossAttention(**_attention(config))
        self.feed_forward = _feed_forward(config)
        self.around_self_attention = Residual(config)
        self.around_cross_attention = Residual(config)
        self.around_feed_forward = Residual(config)

    def forward(
        self, x: Tensor, memory: Tensor, own: Visibility, across: Visibility, *, return_attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        y = self.around_self_attention.enter(x)
        x = self.around_self_attention.leave(x, self.self_attention(y, own))
        change, weights = self.cross_attention(
            self.around_cross_attention.enter(x), memory, across, return_weights=return_attention
        )
        x = self.around_cross_attention.leave(x, change)
        return self.around_feed_forward.leave(x, self.feed_forward(self.around_feed_forward.enter(x))), weights

    def step(self, x: Tensor, state: TransformerState, index: int, rotation: Rotation | None) -> Tensor:
        """One more position (B, K, D) of every hypothesis: queries over what is kept of its sentence."""
        query, key_and_value = self.self_attention.project(self.around_self_attention.enter(x), rotation)
        key, value = state.extend(index, key_and_value)
        x = self.around_self_attention.leave(x, self.self_attention.attend_kept(query, key, value, state.bias))
        query = self.cross_attention.project(self.around_cross_attention.enter(x))
        memory = state.memory
        change = self.cross_attention.attend_kept(query, memory.keys[index], memory.values[index], memory.bias)
        x = self.around_cross_attention.leave(x, change)
        return self.around_feed_forward.leave(x, self.feed_forward(self.around_feed_forward.enter(x)))


def _rotary(config: TransformerConfig) -> Rotary | None:
    if config.positions is not Positions.rotary:
        return None
    return Rotary(width=config.head_width, max_positions=config.max_length + 1)


def _attention(config: TransformerConfig) -> dict[str, Any]:
    return {
        "d_model": config.d_model,
        "num_heads": config.num_heads,
        "dropout_rate": config.attention_dropout,
        "weighting": config.attention,
    }


def _feed_forward(config: TransformerConfig) -> FeedForward:
    return FeedForward(
        d_model=config.d_model,
        ffn_dim=config.ffn_dim,
        activation=config.activation,
        activation_dropout=config.activation_dropout,
    )


def _final_norm(config: TransformerConfig) -> nn.Module:
    """Pre-norm layers leave their sum un-normalised; post-norm layers end in a norm of their own."""
    return make_norm(config.norm, config.d_model) if config.norm_order is NormOrder.pre else nn.Identity()


def _draw(module: nn.Module) -> None:
    """Xavier-uniform maps, zero biases."""
    draw_embedding(module)
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
