"""Models small enough to be worked out by hand, behind the same five methods as the real ones.

FakeModel knows nothing of layers: the next token's probabilities are a function of a source sentence and of
the tokens read so far. Its state records those tokens, and which sentence they belong to, so that a search
that reorders hypotheses wrongly, or reads another sentence's memory, gets other probabilities and fails.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from translate.batch import BOS, EOS, Batch, Tokens
from translate.models.seq2seq import Output, Seq2Seq

NextLogits = Callable[[tuple[int, ...], tuple[int, ...]], Sequence[float]]


@dataclass(frozen=True)
class FakeMemory:
    sentences: list[tuple[int, ...]]


@dataclass
class FakeState:
    sentences: list[tuple[int, ...]]
    history: list[tuple[int, ...]]
    used: bool = False

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> FakeState:
        assert not self.used, "a state that has been selected from or stepped must not be used again"
        self.used = True
        kept = self.sentences if sentences is None else [self.sentences[i] for i in sentences.tolist()]
        width = len(self.history) // len(self.sentences)
        belongs = [self.sentences[row // width] for row in rows.tolist()]
        new_width = len(rows) // len(kept)
        assert len(rows) == new_width * len(kept), "equally many hypotheses of each sentence"
        assert belongs == [sentence for sentence in kept for _ in range(new_width)], "hypotheses changed sentence"
        return FakeState(kept, [self.history[row] for row in rows.tolist()])


@dataclass(eq=False)
class FakeModel(Seq2Seq):
    """next_logits(source tokens without EOS, target tokens so far) -> a logit per word of the vocabulary."""

    next_logits: NextLogits
    max_length: int = 100
    batches: list[list[tuple[int, ...]]] = field(default_factory=list)
    rows_per_step: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def forward(self, batch: Batch, *, return_attention: bool = False) -> Output:
        raise NotImplementedError

    def encode(self, source: Tokens) -> FakeMemory:
        assert source.mask is not None
        sentences = [tuple(ids[mask].tolist()) for ids, mask in zip(source.ids, source.mask, strict=True)]
        assert all(sentence[-1] == EOS for sentence in sentences), "a source sentence ends with EOS"
        self.batches.append(sentences)
        return FakeMemory([sentence[:-1] for sentence in sentences])

    def start(self, memory: FakeMemory) -> FakeState:  # type: ignore[override]
        return FakeState(memory.sentences, [()] * len(memory.sentences))

    def step(self, tokens: Tensor, state: FakeState) -> tuple[Tensor, FakeState]:  # type: ignore[override]
        assert not state.used
        state.used = True
        self.rows_per_step.append(len(tokens))
        history = [(*old, token) for old, token in zip(state.history, tokens.tolist(), strict=True)]
        assert all(tokens[0] == BOS for tokens in history), "the first token read is BOS"
        width = len(history) // len(state.sentences)
        logits = [self.next_logits(state.sentences[row // width], tokens[1:]) for row, tokens in enumerate(history)]
        return torch.tensor(logits, dtype=torch.float32), FakeState(state.sentences, history)


def table_model(table: Mapping[tuple[int, ...], Mapping[int, float]], *, vocabulary_size: int) -> FakeModel:
    """Probabilities by the tokens so far, whatever the source; tokens not named have almost none."""

    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        row = torch.full((vocabulary_size,), -30.0)
        for token, probability in table.get(history, {EOS: 1.0}).items():
            row[token] = torch.tensor(probability).log()
        return row.tolist()

    return FakeModel(next_logits)


def random_model(*, vocabulary_size: int, seed: int = 0, end: float = 0.0, spread: float = 1.0) -> FakeModel:
    """Every history of every source sentence has its own, fixed, random probabilities; `end` favours EOS."""

    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        key = hashlib.sha256(repr((seed, source, history)).encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))
        logits = spread * torch.randn(vocabulary_size, generator=generator)
        logits[EOS] += end
        return logits.tolist()

    return FakeModel(next_logits)


def copy_model(*, vocabulary_size: int) -> FakeModel:
    """Says what it reads, then ends."""

    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        row = [0.0] * vocabulary_size
        row[source[len(history)] if len(history) < len(source) else EOS] = 20.0
        return row

    return FakeModel(next_logits)


class CharacterTokenizer:
    """One token per character, spaces included: what a Tokenizer does, without SentencePiece."""

    FIRST = 4

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def encode_source(self, lines: Sequence[str], *, sampling: float = 0.0, seed: int = 0) -> list[list[int]]:
        return [[self.ids.setdefault(c, len(self.ids) + self.FIRST) for c in line.strip()] for line in lines]

    def decode_target(self, ids: Sequence[Sequence[int]]) -> list[str]:
        characters = {number: character for character, number in self.ids.items()}
        return ["".join(characters.get(i, "?") for i in sentence if i >= self.FIRST) for sentence in ids]
