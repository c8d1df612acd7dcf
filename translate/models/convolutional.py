"""Encoder and decoder of gated convolutions, with attention in each layer of the decoder (Gehring et al. 2017).

Weights are drawn so that variances stay as they are through layers (section 3.5). Unlike there, scores are scaled by
1 / √D, since embeddings have variance 1, and weights are not normalised: Adam and warm-up do without.

Letters: B sentences, K hypotheses of each, S and T source and target tokens, D width, L layers, C kernel size, V target
vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.batch import Batch, Tokens
from translate.models.attention import make_attention_mask
from translate.models.layers import Dropout, mask_value
from translate.models.seq2seq import (
    AttentionMaps,
    BatchedState,
    EmbeddingNoise,
    ModelConfig,
    Output,
    Padding,
    Positions,
    Seq2Seq,
    State,
    Tying,
    Vocabularies,
    gather_parents,
)

_SQRT_HALF = math.sqrt(0.5)  # of a sum of two, so that its variance stays


@dataclass(kw_only=True)
class ConvolutionalConfig(ModelConfig):
    """kernel_size: tokens in the window of a layer; L layers see L · (kernel_size - 1) + 1."""

    RATES: ClassVar = ModelConfig.RATES
    COUNTS: ClassVar = ("encoder_layers", "decoder_layers", "kernel_size")

    architecture: str = "convolutional"
    encoder_layers: int = 6
    decoder_layers: int = 6
    kernel_size: int = 3

    @property
    def has_attention(self) -> bool:
        return True

    @classmethod
    def tiny(cls, **changes: Any) -> Self:
        return super().tiny(**{"encoder_layers": 2, "decoder_layers": 3} | changes)

    @classmethod
    def variants(cls) -> list[dict[str, Any]]:
        return [{"kernel_size": 4}, {"tying": Tying.target}]


@dataclass(frozen=True, eq=False)
class ConvolutionalMemory(BatchedState):
    """keys (B, S, D): the encoder's output; values (B, S, D): that plus its input; bias (B, 1, S) masks padding."""

    PADDED: ClassVar = {"keys": Padding(-2), "values": Padding(-2), "bias": Padding(-1, mask_value)}

    keys: Tensor
    values: Tensor
    bias: Tensor

    def needed_length(self) -> int:
        return int((self.bias == 0).sum(-1).max())


@dataclass(frozen=True, eq=False)
class ConvolutionalState(State):
    """positions (B,): tokens read; windows (B, K, L, C - 1, D): the last inputs of each layer of the decoder."""

    memory: ConvolutionalMemory
    positions: Tensor
    windows: Tensor

    def reorder(self, parents: Tensor) -> ConvolutionalState:
        return replace(self, windows=gather_parents(self.windows, parents))


class Convolutional(Seq2Seq):
    adapter_targets = ("mean", "output")

    def __init__(self, config: ConvolutionalConfig, vocabularies: Vocabularies):
        super().__init__(config, vocabularies, Positions.learned)
        encoder = nn.ModuleList(GatedConvolution(config) for _ in range(config.encoder_layers))
        decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.encoder, self.decoder = cast(Sequence[GatedConvolution], encoder), cast(Sequence[DecoderLayer], decoder)
        self.output = nn.Linear(config.d_model, config.d_model)
        self.dropout = Dropout(config.dropout)
        self.window = config.kernel_size - 1
        self.init_weights(_init_linear)

    def forward(
        self, batch: Batch, *, return_attention: bool = False, embedding_noise: EmbeddingNoise | None = None
    ) -> Output:
        output, _ = self.forward_with_attention(batch, embedding_noise)
        return output if return_attention else replace(output, attention=None)

    def forward_with_attention(
        self, batch: Batch, embedding_noise: EmbeddingNoise | None = None
    ) -> tuple[Output, AttentionMaps]:
        memory = self.encode(batch.source, embedding_noise)
        embedded = self.embed_target(batch.target.ids, batch.target.positions, embedding_noise)
        x, maps = embedded, []
        for layer in self.decoder:
            # padding on the left alone: no position sees a later token
            x, weights = layer(x, F.pad(layer.convolution.dropout(x), (0, 0, self.window, 0)), embedded, memory)
            maps.append(weights.unsqueeze(1))  # one head: (B, 1, T, S)
        return Output(self.dropout(self.output(x)), self.projection.weight, maps[-1]), {"cross": maps}

    def encode(self, source: Tokens, embedding_noise: EmbeddingNoise | None = None) -> ConvolutionalMemory:
        assert source.mask is not None, "convolutional models read padded sentences"
        real = source.mask.unsqueeze(-1)
        embedded = self.embed_source(source, embedding_noise)
        # the window is centred; an even kernel sees one token more on the right
        x, before = embedded, self.window // 2
        for layer in self.encoder:
            # zeros for padding, as beyond the batch: the padded length of a sentence must change nothing
            padded = F.pad(layer.dropout(x) * real, (0, 0, before, self.window - before))
            x = (x + layer(padded)) * _SQRT_HALF
        bias = make_attention_mask(source, source, causal=False).bias
        assert bias is not None
        # the embeddings in the values tell which token it is, the outputs its context (section 3.3)
        # gradients arrive from every layer of the decoder: scaled down, as in section 3.5
        keys, values = (_with_gradient(x, 1 / (2 * len(self.decoder))) for x in (x, (x + embedded) * _SQRT_HALF))
        return ConvolutionalMemory(keys, values, bias[:, 0])

    def start(self, memory: ConvolutionalMemory) -> ConvolutionalState:
        sentences, _, d_model = memory.keys.shape
        # zeros, as forward() pads in front of BOS
        windows = memory.keys.new_zeros(sentences, 1, len(self.decoder), self.window, d_model)
        return ConvolutionalState(memory, torch.zeros_like(memory.bias[:, 0, 0], dtype=torch.long), windows)

    def step(self, tokens: Tensor, state: ConvolutionalState) -> tuple[Tensor, ConvolutionalState]:  # type: ignore[override]
        # finished sentences are stepped on until they leave: their positions must stay within the table
        positions = state.positions.clamp(max=self.max_length)[:, None].expand(state.windows.shape[:2])
        embedded = self.embed_target(tokens.view(positions.shape), positions)
        x, windows = embedded, []
        for index, layer in enumerate(self.decoder):
            window = torch.cat([state.windows[:, :, index], x[:, :, None]], dim=2)  # (B, K, C, D)
            windows.append(window[:, :, 1:])  # the oldest input leaves
            x, _ = layer.attend(x, layer.convolution.gate(window.flatten(2)), embedded, state.memory)
        state = replace(state, positions=state.positions + 1, windows=torch.stack(windows, dim=2))
        return self.projection(self.output(x).flatten(0, 1)), state


class GatedConvolution(nn.Module):
    """Convolution with a gated linear unit (Dauphin et al. 2017): a linear layer on each window."""

    def __init__(self, config: ConvolutionalConfig):
        super().__init__()
        self.kernel_size = config.kernel_size
        self.linear = nn.Linear(config.kernel_size * config.d_model, 2 * config.d_model)
        self.dropout = Dropout(config.dropout)

    def forward(self, padded: Tensor) -> Tensor:
        """padded (B, T + C - 1, D), of which output t sees C positions from t on; returns (B, T, D)."""
        # a product of joined windows, not nn.Conv1d: step() applies it to a single window
        length = padded.shape[1] - self.kernel_size + 1
        windows = [padded[:, start : start + length] for start in range(self.kernel_size)]
        return self.gate(torch.cat(windows, dim=-1))

    def gate(self, windows: Tensor) -> Tensor:
        """The gated convolution of windows (…, C · D): (…, D)."""
        return F.glu(self.linear(windows), dim=-1)


class DecoderLayer(nn.Module):
    def __init__(self, config: ConvolutionalConfig):
        super().__init__()
        self.convolution = GatedConvolution(config)
        self.query = nn.Linear(config.d_model, config.d_model)
        self.mean = nn.Linear(config.d_model, config.d_model)

    def forward(
        self, x: Tensor, history: Tensor, embedded: Tensor, memory: ConvolutionalMemory
    ) -> tuple[Tensor, Tensor]:
        """x (B, T, D) and the convolution's input, C - 1 positions longer; also the attention weights (B, T, S)."""
        return self.attend(x, self.convolution(history), embedded, memory)

    def attend(self, x: Tensor, gated: Tensor, embedded: Tensor, memory: ConvolutionalMemory) -> tuple[Tensor, Tensor]:
        """Output (B, T, D) of the layer after attention to the source, and the weights (B, T, S)."""
        # the embedding tells the query which token was read last (section 3.3)
        query = (self.query(gated) + embedded) * (_SQRT_HALF / math.sqrt(embedded.shape[-1]))
        weights = (query @ memory.keys.transpose(1, 2) + memory.bias).softmax(-1)
        # a mean of n values has 1 / n of their variance
        visible = (memory.bias == 0).sum(-1, keepdim=True).sqrt()
        found = (gated + self.mean((weights @ memory.values) * visible)) * _SQRT_HALF
        return (x + found) * _SQRT_HALF, weights


def _with_gradient(x: Tensor, scale: float) -> Tensor:
    """Identity whose gradient is scaled."""
    return x.detach() + scale * (x - x.detach()) if x.requires_grad else x


def _init_linear(module: nn.Module) -> None:
    """Weights that keep variances as they are, zero biases (section 3.5)."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, GatedConvolution):
        # the gate halves the signal, and dropout adds variance
        std = math.sqrt(4 * (1 - module.dropout.rate) / module.linear.in_features)
        nn.init.normal_(module.linear.weight, std=std)
