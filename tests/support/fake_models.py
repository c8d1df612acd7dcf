"""Models small enough to be worked out by hand, behind the contract of the real ones.

FakeModel knows nothing of layers: the next token's probabilities are a function of a source sentence and of
the tokens read so far. Its state records those tokens, and which sentence they belong to, so that a search
that reorders hypotheses wrongly, or mixes up sentences, gets other probabilities and fails.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from translate.batch import Batch, Tokens
from translate.decoding.config import Hypothesis
from translate.models.seq2seq import EmbeddingNoise, Output, Seq2Seq, State
from translate.text import TEXT_FORM
from translate.tokenizer import BOS, EOS, PAD

NextLogits = Callable[[tuple[int, ...], tuple[int, ...]], Sequence[float]]


@dataclass(frozen=True)
class FakeMemory:
    sentences: list[tuple[int, ...]]


@dataclass
class FakeState(State):
    """sentences, and the tokens that each of their hypotheses has read."""

    sentences: list[tuple[int, ...]]
    history: list[list[tuple[int, ...]]]
    used: bool = False

    def reorder(self, parents: Tensor) -> FakeState:
        self.use()
        chosen = [[own[k] for k in ks] for own, ks in zip(self.history, parents.tolist(), strict=True)]
        return FakeState(self.sentences, chosen)

    def select(self, rows: Tensor) -> FakeState:
        self.use()
        return FakeState(*([x[i] for i in rows.tolist()] for x in (self.sentences, self.history)))

    def concat(self, other: FakeState) -> FakeState:
        self.use()
        other.use()
        return FakeState(self.sentences + other.sentences, self.history + other.history)

    def replace(self, rows: Tensor, other: FakeState) -> FakeState:
        self.use()
        other.use()
        for new, row in enumerate(rows.tolist()):
            self.sentences[row], self.history[row] = other.sentences[new], other.history[new]
        return FakeState(self.sentences, self.history)

    def use(self) -> None:
        assert not self.used, "a state that has been changed or stepped must not be used again"
        self.used = True


@dataclass(eq=False)
class FakeModel(Seq2Seq):
    """next_logits(source tokens without EOS, target tokens so far) -> a logit per word of the vocabulary."""

    adapter_targets = ()

    next_logits: NextLogits
    max_length: int = 100
    batches: list[list[tuple[int, ...]]] = field(default_factory=list)
    rows_per_step: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        self.projection = SimpleNamespace(out_features=100)  # an estimate of memory reads the size of the vocabulary

    def forward(
        self, batch: Batch, *, return_attention: bool = False, embedding_noise: EmbeddingNoise | None = None
    ) -> Output:
        """Logits of every position as hidden states; attention from each position to that of the same number."""
        targets = [[int(token) for token in row if token != PAD] for row in batch.target.ids]
        sources = [tuple(int(token) for token in row if token > EOS) for row in batch.source.ids]
        rows = [
            [self.next_logits(source, tuple(target[1 : t + 1])) for t in range(len(target))]
            for source, target in zip(sources, targets, strict=True)
        ]
        size = len(rows[0][0])
        longest = batch.target.ids.shape[1]
        hidden = torch.tensor([row + [[0.0] * size] * (longest - len(row)) for row in rows])
        width = batch.source.ids.shape[1]
        last = [len(source) for source in sources]  # EOS
        attention = torch.zeros(len(rows), 1, longest, width)
        for row, end in enumerate(last):
            attention[row, 0, range(longest), [min(t, end) for t in range(longest)]] = 1.0
        return Output(hidden, torch.eye(size), attention if return_attention else None)

    def encode(self, source: Tokens, embedding_noise: EmbeddingNoise | None = None) -> FakeMemory:
        assert source.mask is not None
        sentences = [tuple(ids[mask].tolist()) for ids, mask in zip(source.ids, source.mask, strict=True)]
        assert all(sentence[-1] == EOS for sentence in sentences), "a source sentence ends with EOS"
        self.batches.append(sentences)
        return FakeMemory([sentence[:-1] for sentence in sentences])

    def start(self, memory: FakeMemory) -> FakeState:
        return FakeState(memory.sentences, [[()] for _ in memory.sentences])

    def step(self, tokens: Tensor, state: FakeState) -> tuple[Tensor, FakeState]:  # type: ignore[override]
        state.use()
        self.rows_per_step.append(len(tokens))
        read = iter(tokens.tolist())
        history = [[(*old, next(read)) for old in own] for own in state.history]
        assert not list(read), "one token for each hypothesis"
        assert all(tokens[0] == BOS for own in history for tokens in own), "the first token read is BOS"
        logits = [
            self.next_logits(sentence, tokens[1:])
            for sentence, own in zip(state.sentences, history, strict=True)
            for tokens in own
        ]
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
    text_form = TEXT_FORM

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def encode_source(
        self, lines: Sequence[str], *, tag: str | None = None, sampling: float = 0.0, seed: int = 0
    ) -> list[list[int]]:
        lines = [f"{tag} {line.strip()}" for line in lines] if tag else lines
        return [[self.ids.setdefault(c, len(self.ids) + self.FIRST) for c in line.strip()] for line in lines]

    def encode_target(self, lines: Sequence[str]) -> list[list[int]]:
        return self.encode_source(lines)

    def source_pieces(self, ids: Sequence[int]) -> list[str]:
        characters = {number: character for character, number in self.ids.items()} | {EOS: "</s>"}
        return [characters.get(token, "?").replace(" ", "▁") for token in ids]

    target_pieces = source_pieces

    def decode_target(self, ids: Sequence[Sequence[int]]) -> list[str]:
        characters = {number: character for character, number in self.ids.items()}
        return ["".join(characters.get(i, "?") for i in sentence if i >= self.FIRST) for sentence in ids]


class EchoEngine:
    """Translates every sentence into itself, n_best times, and remembers what it was given."""

    max_length = 200

    def __init__(self) -> None:
        self.given: list[tuple[int, ...]] = []

    def search(self, sentences, config, *, progress=None):
        self.given += sentences
        found = (Hypothesis(tokens=list(sentence), score=-0.5 * len(sentence)) for sentence in sentences)
        return [[hypothesis] * config.n_best for hypothesis in found]
