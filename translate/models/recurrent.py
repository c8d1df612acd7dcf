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
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from translate.batch import Batch, Tokens
from translate.errors import UserError
from translate.models.config import ModelConfig
from translate.models.dropout import Dropout
from translate.models.embedded import EmbeddedSeq2Seq, draw_embedding
from translate.models.layers import Positions
from translate.models.recurrent_attention import RecurrentAttention, attend, make_attention
from translate.models.rows import Rows, of_parents
from translate.models.seq2seq import Output
from translate.models.visibility import visibility
from translate.models.vocabulary import Vocabularies


@dataclass(kw_only=True)
class RecurrentConfig(ModelConfig):
    """An LSTM in both directions, d_model / 2 wide each, and one that writes.

    num_heads              of attention=multi_head
    input_feeding          whether the decoder reads its last attentional vector; attention=none has none
    teacher_forcing_ratio  share of target tokens that the decoder reads from the reference while it is trained; the
                           others are its own (scheduled sampling, Bengio et al. 2015). It goes evenly from this value
                           to teacher_forcing_end in teacher_forcing_steps updates (0: stays)
    """

    RATES: ClassVar = ModelConfig.RATES
    SIZES: ClassVar = (*ModelConfig.SIZES, "num_heads", "encoder_layers", "decoder_layers")

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

    def check(self, vocabularies: Vocabularies) -> None:
        super().check(vocabularies)
        if self.d_model % 2:
            raise UserError(f"model.d_model ({self.d_model}) must be even: half of it is read in each direction")
        if self.attention is RecurrentAttention.multi_head and self.d_model % self.num_heads:
            raise UserError(f"model.d_model ({self.d_model}) must be a multiple of model.num_heads ({self.num_heads})")
        for name in ("teacher_forcing_ratio", "teacher_forcing_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"model.{name} ({getattr(self, name)}) must lie between 0 and 1")
        if self.teacher_forcing_steps < 0:
            raise UserError(f"model.teacher_forcing_steps ({self.teacher_forcing_steps}) must not be negative")

    def ratio_at(self, step: int) -> float:
        """The teacher-forcing ratio of an update, the first of which is 1."""
        if not self.teacher_forcing_steps:
            return self.teacher_forcing_ratio
        share = min(1.0, (step - 1) / self.teacher_forcing_steps)
        return self.teacher_forcing_ratio + share * (self.teacher_forcing_end - self.teacher_forcing_ratio)


@dataclass(frozen=True, eq=False)
class RecurrentMemory(Rows):
    """The decoder's initial states, and keys and values of the source.

    hidden, cell  (B, L, D)
    keys, values  (B, S, D), and bias (B, 1, 1, S), which hides padding; None without attention
    """

    LENGTHS: ClassVar = {"keys": 1, "values": 1, "bias": 3}

    hidden: Tensor
    cell: Tensor
    keys: Tensor | None = None
    values: Tensor | None = None
    bias: Tensor | None = None


@dataclass(frozen=True, eq=False)
class RecurrentState(Rows):
    """hidden, cell (B, K, L, D), and the last attentional vector, feed (B, K, D)."""

    memory: RecurrentMemory
    hidden: Tensor
    cell: Tensor
    feed: Tensor

    def reorder(self, parents: Tensor) -> RecurrentState:
        hidden, cell, feed = (of_parents(x, parents) for x in (self.hidden, self.cell, self.feed))
        return RecurrentState(self.memory, hidden, cell, feed)


class Recurrent(EmbeddedSeq2Seq):
    sublayer_ends = ("bridge", "combine")

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
            dropout=config.dropout if config.encoder_layers > 1 else 0.0,
        )
        self.decoder = Decoder(config)
        self.bridge = nn.Linear(config.d_model, 2 * config.decoder_layers * config.d_model)
        self.initialise(_draw)

    def at_update(self, step: int) -> None:
        self.teacher_forcing_ratio = self.config.ratio_at(step)

    def forward(self, batch: Batch, *, return_attention: bool = False) -> Output:
        state = self.start(self.encode(batch.source))
        sampled = self.training and self.teacher_forcing_ratio < 1
        if sampled or self.decoder.feeds:
            return self._one_after_the_other(batch, state, sampled=sampled, return_attention=return_attention)
        x = self.target_embedding(batch.target.ids, batch.target.positions)
        vectors, weights, _ = self.decoder(x, state)
        return Output(vectors, self.projection.weight, weights if return_attention else None)

    def _one_after_the_other(
        self, batch: Batch, state: RecurrentState, *, sampled: bool, return_attention: bool
    ) -> Output:
        """Token by token, where what is read depends on what was said."""
        ids, positions = batch.target.ids, batch.target.positions
        vectors, maps, tokens = [], [], ids[:, 0]
        for place in range(ids.shape[1]):
            x = self.target_embedding(tokens[:, None], positions[:, place, None])
            vector, weights, state = self.decoder(x, state)
            vectors.append(vector)
            maps.append(weights)
            if place + 1 < ids.shape[1]:
                tokens = ids[:, place + 1]
                if sampled:
                    tokens = self._some_of_its_own(tokens, vector[:, 0])
        seen = [weights for weights in maps if weights is not None] if return_attention else []
        attention = torch.cat(seen, dim=2) if seen else None
        return Output(torch.cat(vectors, dim=1), self.projection.weight, attention)

    @torch.no_grad()
    def _some_of_its_own(self, reference: Tensor, vectors: Tensor) -> Tensor:
        """Target tokens (B,), some of them replaced by what the model finds likeliest after vectors (B, D)."""
        own = self.projection(vectors).argmax(-1)
        given = torch.rand(len(reference), device=reference.device) < self.teacher_forcing_ratio
        return torch.where(given, reference, own)

    def encode(self, source: Tokens) -> RecurrentMemory:
        assert source.mask is not None, "recurrent models read padded sentences"
        x = self.source_embedding(source.ids, source.positions)
        lengths = source.mask.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        with _full_precision_on_cpu():
            outputs, (last, _) = self.encoder(packed)
        memory, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
        # the last layer's last states, of either direction
        begin = self.bridge(last[-2:].transpose(0, 1).flatten(1)).tanh().to(last.dtype)
        begin = begin.unflatten(-1, (2, self.decoder.layers, -1))
        if self.decoder.attention is None:
            return RecurrentMemory(begin[:, 0], begin[:, 1])
        bias = visibility(source, source, causal=False).bias
        return RecurrentMemory(begin[:, 0], begin[:, 1], self.decoder.attention.keys(memory), memory, bias)

    def start(self, memory: RecurrentMemory) -> RecurrentState:  # type: ignore[override]
        feed = memory.hidden.new_zeros(len(memory.hidden), 1, memory.hidden.shape[-1])
        return RecurrentState(memory, memory.hidden[:, None], memory.cell[:, None], feed)

    def step(self, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:  # type: ignore[override]
        x = self.target_embedding(tokens, tokens).unflatten(0, (len(state.feed), -1))
        vectors, _, state = self.decoder(x, state, together=False)
        return self.projection(vectors.flatten(0, 1)), state


class Decoder(nn.Module):
    """attention: None without; feeds: whether its last attentional vector is read with the next token."""

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
        begin = tuple(part.flatten(0, 1).transpose(0, 1).contiguous() for part in (state.hidden, state.cell))
        with _full_precision_on_cpu():
            outputs, after = self.lstm(read if together else read.flatten(0, 1)[:, None], begin)
        outputs = outputs if together else outputs.unflatten(0, x.shape[:2])[:, :, 0]
        vectors, weights = self._look(outputs, state.memory)
        hidden, cell = (part.transpose(0, 1).unflatten(0, state.hidden.shape[:2]) for part in after)
        feed = vectors if self.feeds else state.feed
        return vectors, weights, RecurrentState(state.memory, hidden, cell, feed)

    def _look(self, outputs: Tensor, memory: RecurrentMemory) -> tuple[Tensor, Tensor | None]:
        if self.attention is None or self.combine is None:
            return self.dropout(outputs), None
        assert memory.values is not None
        assert memory.bias is not None
        means, weights = attend(self.attention(outputs, memory.keys), memory.values, memory.bias)
        return self.dropout(self.combine(torch.cat([means, outputs], dim=-1)).tanh()), weights


def _full_precision_on_cpu() -> AbstractContextManager[object]:
    """Inside, autocast leaves LSTMs on a CPU alone: few processors have what PyTorch makes of them in bfloat16."""
    return torch.autocast("cpu", enabled=False)


def _draw(module: nn.Module) -> None:
    """Biases of forget gates begin at one, so that a cell forgets nothing at first (Jozefowicz et al. 2015)."""
    draw_embedding(module)
    if isinstance(module, nn.LSTM):
        for name, parameter in module.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.zeros_(parameter)
                quarter = len(parameter) // 4
                nn.init.ones_(parameter.data[quarter : 2 * quarter])
            elif name.startswith("bias_hh"):
                nn.init.zeros_(parameter)
