"""LSTM encoder and decoder with attention (Bahdanau et al. 2015, Luong et al. 2015) or without (Sutskever et al. 2014).

The encoder reads in both directions. The decoder's state, and with attention a mean of the encoder's outputs, make the
attentional vector tanh(W [mean; state]) from which the next token is predicted, and which the decoder reads together
with that token: input feeding (Luong et al. 2015, section 3.3), by which it knows where it has looked. Without
attention, all that the decoder knows of the source is the state that it begins with.

Letters: B sentences, K hypotheses of each, N = B * K, S and T source and target tokens, D width, L layers, V target
vocabulary.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from translate.batch import Batch, Tokens
from translate.errors import UserError, require_at_least
from translate.models.attention import make_attention_mask
from translate.models.layers import Dropout, mask_value
from translate.models.recurrent_attention import RecurrentAttention, attend, make_attention
from translate.models.seq2seq import (
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


@dataclass(kw_only=True)
class RecurrentConfig(ModelConfig):
    """An encoder LSTM in both directions, d_model / 2 wide each, and a decoder LSTM.

    num_heads              of attention=multi_head
    input_feeding          the decoder reads its last attentional vector; attention=none has none
    teacher_forcing_ratio  share of target tokens that the decoder reads from the reference in training; the others
                           are its own predictions (scheduled sampling, Bengio et al. 2015). Changes linearly to
                           teacher_forcing_end in teacher_forcing_steps updates (0: stays)
    """

    RATES: ClassVar = ModelConfig.RATES
    SIZES: ClassVar = (*ModelConfig.SIZES, "num_heads")
    COUNTS: ClassVar = ("encoder_layers", "decoder_layers")

    architecture: str = "lstm"
    encoder_layers: int = 2
    decoder_layers: int = 2
    attention: RecurrentAttention = RecurrentAttention.bahdanau
    num_heads: int = 4
    input_feeding: bool = True
    teacher_forcing_ratio: float = 1.0
    teacher_forcing_end: float = 1.0
    teacher_forcing_steps: int = 0

    @property
    def has_attention(self) -> bool:
        return self.attention is not RecurrentAttention.none

    def check(self) -> None:
        super().check()
        if self.d_model % 2:
            raise UserError(f"model.d_model ({self.d_model}) must be even: half of it is read in each direction")
        if self.attention is RecurrentAttention.multi_head and self.d_model % self.num_heads:
            raise UserError(f"model.d_model ({self.d_model}) must be a multiple of model.num_heads ({self.num_heads})")
        for name in ("teacher_forcing_ratio", "teacher_forcing_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"model.{name} ({getattr(self, name)}) must lie between 0 and 1")
        require_at_least("model.teacher_forcing_steps", self.teacher_forcing_steps, 0)

    @classmethod
    def tiny(cls, **changes: Any) -> Self:
        return super().tiny(**{"encoder_layers": 2, "decoder_layers": 2} | changes)

    @classmethod
    def variants(cls) -> list[dict[str, Any]]:
        return [
            {"attention": RecurrentAttention.none},
            {"attention": RecurrentAttention.luong_dot, "tying": Tying.none},
            {"attention": RecurrentAttention.luong_general, "input_feeding": False},
            {"attention": RecurrentAttention.multi_head},
            {"encoder_layers": 1, "decoder_layers": 3},
        ]

    def teacher_forcing_at(self, step: int) -> float:
        """Teacher-forcing ratio of update number `step`, from 1."""
        if not self.teacher_forcing_steps:
            return self.teacher_forcing_ratio
        share = min(1.0, (step - 1) / self.teacher_forcing_steps)
        return self.teacher_forcing_ratio + share * (self.teacher_forcing_end - self.teacher_forcing_ratio)


@dataclass(frozen=True, eq=False)
class RecurrentMemory(BatchedState):
    """Initial states of the decoder, and keys and values of the source.

    hidden, cell  (B, L, D)
    keys, values  (B, S, D), and bias (B, 1, 1, S), which masks padding; None without attention
    """

    PADDED: ClassVar = {"keys": Padding(-2), "values": Padding(-2), "bias": Padding(-1, mask_value)}

    hidden: Tensor
    cell: Tensor
    keys: Tensor | None = None
    values: Tensor | None = None
    bias: Tensor | None = None

    def needed_length(self) -> int | None:
        return None if self.bias is None else int((self.bias == 0).sum(-1).max())


@dataclass(frozen=True, eq=False)
class RecurrentState(State):
    """hidden, cell (B, K, L, D), and the last attentional vector, feed (B, K, D)."""

    memory: RecurrentMemory
    hidden: Tensor
    cell: Tensor
    feed: Tensor

    def reorder(self, parents: Tensor) -> RecurrentState:
        hidden, cell, feed = (gather_parents(x, parents) for x in (self.hidden, self.cell, self.feed))
        return RecurrentState(self.memory, hidden, cell, feed)


class Recurrent(Seq2Seq):
    adapter_targets = ("bridge", "combine")

    def __init__(self, config: RecurrentConfig, vocabularies: Vocabularies):
        super().__init__(config, vocabularies, Positions.none)
        self.config = config
        self.teacher_forcing_ratio = config.teacher_forcing_ratio
        self.encoder = nn.LSTM(
            config.d_model,
            config.d_model // 2,
            config.encoder_layers,
            batch_first=True,
            bidirectional=True,
            dropout=config.dropout if config.encoder_layers > 1 else 0.0,  # PyTorch's is between layers
        )
        self.decoder = Decoder(config)
        self.bridge = nn.Linear(config.d_model, 2 * config.decoder_layers * config.d_model)
        self.init_weights(_init_lstm)

    def set_training_step(self, step: int) -> None:
        self.teacher_forcing_ratio = self.config.teacher_forcing_at(step)

    def forward(
        self, batch: Batch, *, return_attention: bool = False, embedding_noise: EmbeddingNoise | None = None
    ) -> Output:
        state = self.start(self.encode(batch.source, embedding_noise))
        sampled = self.training and self.teacher_forcing_ratio < 1
        # all steps can run together only where none reads the result of the one before
        if sampled or self.decoder.feeds:
            vectors, weights = self._step_by_step(batch, state, embedding_noise, sampled=sampled)
        else:
            x = self.embed_target(batch.target.ids, batch.target.positions, embedding_noise)
            vectors, weights, _ = self.decoder(x, state)
        return Output(vectors, self.projection.weight, weights if return_attention else None)

    def _step_by_step(
        self, batch: Batch, state: RecurrentState, noise: EmbeddingNoise | None, *, sampled: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Attentional vectors and weights, token by token: the input of each step depends on the output of the last."""
        ids, positions = batch.target.ids, batch.target.positions
        vectors, maps, tokens = [], [], ids[:, 0]
        for index in range(ids.shape[1]):
            x = self.embed_target(tokens[:, None], positions[:, index, None], noise, start=index)
            vector, weights, state = self.decoder(x, state)
            vectors.append(vector)
            maps += [] if weights is None else [weights]
            if index + 1 < ids.shape[1]:
                tokens = ids[:, index + 1]
                if sampled:
                    tokens = self._mix_predictions(tokens, vector[:, 0])
        return torch.cat(vectors, dim=1), torch.cat(maps, dim=2) if maps else None

    @torch.no_grad()
    def _mix_predictions(self, reference: Tensor, vectors: Tensor) -> Tensor:
        """Reference tokens (B,), some of them replaced by the most likely token after vectors (B, D)."""
        predicted = self.projection(vectors).argmax(-1)
        # drawn for each token, not for each sentence (Bengio et al. 2015)
        is_forced = torch.rand(len(reference), device=reference.device) < self.teacher_forcing_ratio
        return torch.where(is_forced, reference, predicted)

    def encode(self, source: Tokens, embedding_noise: EmbeddingNoise | None = None) -> RecurrentMemory:
        assert source.mask is not None, "recurrent models read padded sentences"
        x = self.embed_source(source, embedding_noise)
        # PyTorch needs lengths on the CPU, and refuses empty sentences
        lengths = source.mask.sum(1).clamp(min=1).cpu()
        # packed, so that the backward direction starts at a sentence's end, not in its padding
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        with _full_precision_on_cpu():
            outputs, (last, _) = self.encoder(packed)
        memory, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])  # as wide as the mask
        # the final states of the last layer, of both directions
        initial = self.bridge(last[-2:].transpose(0, 1).flatten(1)).tanh().to(last.dtype)
        initial = initial.unflatten(-1, (2, self.decoder.layers, -1))  # (B, 2, L, D): hidden and cell
        if self.decoder.attention is None:
            return RecurrentMemory(initial[:, 0], initial[:, 1])
        bias = make_attention_mask(source, source, causal=False).bias
        return RecurrentMemory(initial[:, 0], initial[:, 1], self.decoder.attention.keys(memory), memory, bias)

    def start(self, memory: RecurrentMemory) -> RecurrentState:
        # zeros: there is no attentional vector before BOS
        feed = memory.hidden.new_zeros(len(memory.hidden), 1, memory.hidden.shape[-1])
        return RecurrentState(memory, memory.hidden[:, None], memory.cell[:, None], feed)

    def step(self, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:  # type: ignore[override]
        # the second argument stands for positions, of which this model has no table
        x = self.embed_target(tokens, tokens).unflatten(0, (len(state.feed), -1))
        vectors, _, state = self.decoder(x, state, together=False)
        return self.projection(vectors.flatten(0, 1)), state


class Decoder(nn.Module):
    """LSTM with attention, or None; feeds: its last attentional vector is read with the next token."""

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        d_model = config.d_model
        self.layers = config.decoder_layers
        self.feeds = config.input_feeding and config.has_attention
        self.lstm = nn.LSTM(
            d_model * (2 if self.feeds else 1),
            d_model,
            config.decoder_layers,
            batch_first=True,
            dropout=config.dropout if config.decoder_layers > 1 else 0.0,
        )
        self.attention = (
            make_attention(config.attention, d_model=d_model, num_heads=config.num_heads)
            if config.has_attention
            else None
        )
        self.combine = nn.Linear(2 * d_model, d_model) if config.has_attention else None
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Tensor, state: RecurrentState, *, together: bool = True
    ) -> tuple[Tensor, Tensor | None, RecurrentState]:
        """Attentional vectors of embedded tokens x, attention weights (B, H, T, S), and the state after them.

        together: x (B, T, D) are T tokens in a row of the only hypothesis of each sentence; otherwise x (B, K, D) are
        one token of each of its K hypotheses. The vectors are like x.
        """
        read = torch.cat([x, state.feed], dim=-1) if self.feeds else x
        # (B, K, L, D) as PyTorch's (L, N, D)
        initial = tuple(part.flatten(0, 1).transpose(0, 1).contiguous() for part in (state.hidden, state.cell))
        with _full_precision_on_cpu():
            # tokens of different hypotheses do not follow each other: N sequences of one token
            outputs, final = self.lstm(read if together else read.flatten(0, 1)[:, None], initial)
        outputs = outputs if together else outputs.unflatten(0, x.shape[:2])[:, :, 0]
        vectors, weights = self._attend(outputs, state.memory)
        hidden, cell = (part.transpose(0, 1).unflatten(0, state.hidden.shape[:2]) for part in final)
        # (B, K, D): with input feeding x is always one token of each hypothesis
        feed = vectors if self.feeds else state.feed
        return vectors, weights, RecurrentState(state.memory, hidden, cell, feed)

    def _attend(self, outputs: Tensor, memory: RecurrentMemory) -> tuple[Tensor, Tensor | None]:
        if self.attention is None or self.combine is None:
            return self.dropout(outputs), None
        assert memory.values is not None
        assert memory.bias is not None
        means, weights = attend(self.attention(outputs, memory.keys), memory.values, memory.bias)
        return self.dropout(self.combine(torch.cat([means, outputs], dim=-1)).tanh()), weights


def _full_precision_on_cpu() -> AbstractContextManager[object]:
    """Disable autocast for LSTMs on a CPU: few processors have the bf16 instructions that PyTorch's needs."""
    return torch.autocast("cpu", enabled=False)


def _init_lstm(module: nn.Module) -> None:
    """Zero biases, but ones for forget gates, so that a cell forgets nothing at first (Jozefowicz et al. 2015)."""
    if isinstance(module, nn.LSTM):
        for name, parameter in module.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.zeros_(parameter)
                # PyTorch's order: input, forget, cell and output gate
                quarter = len(parameter) // 4
                nn.init.ones_(parameter.data[quarter : 2 * quarter])
            elif name.startswith("bias_hh"):
                # the other bias of the same gates: the two are added
                nn.init.zeros_(parameter)
