"""Gated convolutions that read and write, with attention in each layer of the decoder (Gehring et al. 2017).

Weights are drawn so that variances stay as they are through layers (section 3.5). Unlike there, scores are scaled by
1 / √D, since embeddings have variance 1, and weights are not normalised: Adam and warm-up do without.

Letters: B sentences, K hypotheses of each, S and T source and target tokens, D width, L layers, C kernel size, V target
vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.batch import Batch, Tokens
from translate.models.config import ModelConfig
from translate.models.dropout import Dropout
from translate.models.embedded import EmbeddedSeq2Seq, draw_embedding
from translate.models.layers import Positions
from translate.models.rows import Rows, of_parents
from translate.models.seq2seq import Maps, Output
from translate.models.visibility import visibility
from translate.models.vocabulary import Vocabularies

_HALF = math.sqrt(0.5)  # of a sum of two, so that its variance stays


@dataclass(kw_only=True)
class ConvolutionalConfig(ModelConfig):
    """kernel_size: tokens that a layer looks at; L layers see L · (kernel_size - 1) + 1."""

    RATES: ClassVar = ModelConfig.RATES
    SIZES: ClassVar = (*ModelConfig.SIZES, "encoder_layers", "decoder_layers", "kernel_size")

    architecture: str = "convolutional"
    encoder_layers: int = 6
    decoder_layers: int = 6
    kernel_size: int = 3


@dataclass(frozen=True, eq=False)
class ConvolutionalMemory(Rows):
    """keys (B, S, D): what the encoder wrote; values (B, S, D): that and what it read; bias (B, 1, S) hides padding."""

    LENGTHS: ClassVar = {"keys": 1, "values": 1, "bias": 2}

    keys: Tensor
    values: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class ConvolutionalState(Rows):
    """positions (B,): tokens read; windows (B, K, L, C - 1, D): what each layer of the decoder last read."""

    memory: ConvolutionalMemory
    positions: Tensor
    windows: Tensor

    def reorder(self, parents: Tensor) -> ConvolutionalState:
        return replace(self, windows=of_parents(self.windows, parents))


class Convolutional(EmbeddedSeq2Seq):
    sublayer_ends = ("mean", "output")

    def __init__(self, config: ConvolutionalConfig, vocabularies: Vocabularies):
        super().__init__(config, vocabularies, Positions.learned)
        encoder = nn.ModuleList(GatedConvolution(config) for _ in range(config.encoder_layers))
        decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.encoder, self.decoder = cast(Sequence[GatedConvolution], encoder), cast(Sequence[DecoderLayer], decoder)
        self.output = nn.Linear(config.d_model, config.d_model)
        self.dropout = Dropout(config.dropout)
        self.window = config.kernel_size - 1
        self.initialise(_draw)

    def forward(self, batch: Batch, *, return_attention: bool = False) -> Output:
        output, _ = self.look(batch)
        return output if return_attention else replace(output, attention=None)

    def look(self, batch: Batch) -> tuple[Output, Maps]:
        memory = self.encode(batch.source)
        embedded = self.target_embedding(batch.target.ids, batch.target.positions)
        x, maps = embedded, []
        for layer in self.decoder:
            x, weights = layer(x, F.pad(layer.convolution.dropout(x), (0, 0, self.window, 0)), embedded, memory)
            maps.append(weights.unsqueeze(1))
        return Output(self.dropout(self.output(x)), self.projection.weight, maps[-1]), {"cross": maps}

    def encode(self, source: Tokens) -> ConvolutionalMemory:
        assert source.mask is not None, "convolutional models read padded sentences"
        real = source.mask.unsqueeze(-1)
        embedded = self.source_embedding(source.ids, source.positions)
        x, before = embedded, self.window // 2
        for layer in self.encoder:
            # padding reads as nothing, as does what lies beyond a sentence: its length in the batch changes nothing
            surroundings = F.pad(layer.dropout(x) * real, (0, 0, before, self.window - before))
            x = (x + layer(surroundings)) * _HALF
        bias = visibility(source, source, causal=False).bias
        assert bias is not None
        # every layer of the decoder sends its gradient here
        keys, values = (_with_gradient(x, 1 / (2 * len(self.decoder))) for x in (x, (x + embedded) * _HALF))
        return ConvolutionalMemory(keys, values, bias[:, 0])

    def start(self, memory: ConvolutionalMemory) -> ConvolutionalState:  # type: ignore[override]
        sentences, _, d_model = memory.keys.shape
        windows = memory.keys.new_zeros(sentences, 1, len(self.decoder), self.window, d_model)
        return ConvolutionalState(memory, torch.zeros_like(memory.bias[:, 0, 0], dtype=torch.long), windows)

    def step(self, tokens: Tensor, state: ConvolutionalState) -> tuple[Tensor, ConvolutionalState]:  # type: ignore[override]
        # a sentence that is over may be stepped on until it leaves: its positions must exist, that is all
        places = state.positions.clamp(max=self.max_length)[:, None].expand(state.windows.shape[:2])
        embedded = self.target_embedding(tokens.view(places.shape), places)
        x, windows = embedded, []
        for index, layer in enumerate(self.decoder):
            window = torch.cat([state.windows[:, :, index], x[:, :, None]], dim=2)
            windows.append(window[:, :, 1:])
            x, _ = layer.look(x, layer.convolution.gate(window.flatten(2)), embedded, state.memory)
        moved = replace(state, positions=state.positions + 1, windows=torch.stack(windows, dim=2))
        return self.projection(self.output(x).flatten(0, 1)), moved


class GatedConvolution(nn.Module):
    """A convolution whose one half opens and closes the other (Dauphin et al. 2017): a linear map of each window."""

    def __init__(self, config: ConvolutionalConfig):
        super().__init__()
        self.kernel_size = config.kernel_size
        self.linear = nn.Linear(config.kernel_size * config.d_model, 2 * config.d_model)
        self.dropout = Dropout(config.dropout)

    def forward(self, surroundings: Tensor) -> Tensor:
        """(B, T + C - 1, D), of which result t sees C from t on: (B, T, D)."""
        length = surroundings.shape[1] - self.kernel_size + 1
        windows = [surroundings[:, start : start + length] for start in range(self.kernel_size)]
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
        """x (B, T, D) and, with C - 1 places before it, what the convolution reads; also the weights (B, T, S)."""
        return self.look(x, self.convolution(history), embedded, memory)

    def look(self, x: Tensor, gated: Tensor, embedded: Tensor, memory: ConvolutionalMemory) -> tuple[Tensor, Tensor]:
        """The layer's output (B, T, D) after attention to the source, and its weights (B, T, S)."""
        query = (self.query(gated) + embedded) * (_HALF / math.sqrt(embedded.shape[-1]))
        weights = (query @ memory.keys.transpose(1, 2) + memory.bias).softmax(-1)
        # a mean of n values has 1 / n of their variance
        visible = (memory.bias == 0).sum(-1, keepdim=True).sqrt()
        found = (gated + self.mean((weights @ memory.values) * visible)) * _HALF
        return (x + found) * _HALF, weights


def _with_gradient(x: Tensor, scale: float) -> Tensor:
    """The value itself, with its gradient scaled."""
    return x.detach() + scale * (x - x.detach()) if x.requires_grad else x


def _draw(module: nn.Module) -> None:
    draw_embedding(module)
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, GatedConvolution):
        # half of what goes in is gated away, and dropout adds variance: section 3.5
        std = math.sqrt(4 * (1 - module.dropout.rate) / module.linear.in_features)
        nn.init.normal_(module.linear.weight, std=std)
