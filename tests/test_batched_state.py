"""Batches of sentences that join and leave, against rows worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from translate.batched_state import BatchedState, Padding, gather_parents


@dataclass(frozen=True, eq=False)
class Inner(BatchedState):
    """keys (B, S), padded with zeros, of which so many are real: lengths (B,)."""

    PADDED: ClassVar = {"keys": Padding(-1), "layers": Padding(-2, lambda dtype: -torch.finfo(dtype).max)}

    keys: Tensor
    layers: list[Tensor]
    lengths: Tensor

    def needed_length(self) -> int:
        return int(self.lengths.max())


@dataclass(frozen=True, eq=False)
class Outer(BatchedState):
    """history (B, T), padded on the left with sevens."""

    PADDED: ClassVar = {"history": Padding(-1, 7, left=True)}

    inner: Inner
    history: Tensor
    absent: Tensor | None = None
    name: str = ""


def state(first: int, lengths: list[int], history: list[list[int]]) -> Outer:
    """Keys first, first + 1, … in every row."""
    real = torch.tensor(lengths)
    keys = torch.arange(first, first + max(lengths)).expand(len(lengths), -1)
    keys = keys * (torch.arange(max(lengths)) < real[:, None])
    layers = [factor * keys[:, :, None].float() for factor in (1, 10)]
    return Outer(Inner(keys, layers, real), torch.tensor(history), name=f"from {first}")


def test_selected_sentences_keep_their_rows_trimmed_to_the_longest():
    selected = state(1, [2, 1, 4], [[5], [6], [8]]).select(torch.tensor([1, 0]))
    assert selected.inner.keys.tolist() == [[1, 0], [1, 2]]
    assert selected.inner.layers[1].tolist() == [[[10], [0]], [[10], [20]]]
    assert selected.history.tolist() == [[6], [5]]
    assert (selected.absent, selected.name) == (None, "from 1")


def test_joined_sentences_are_padded_to_the_longest():
    joined = state(1, [1], [[5, 6]]).concat(state(3, [2], [[8]]))
    assert joined.inner.keys.tolist() == [[1, 0], [3, 4]]
    lowest = -torch.finfo(torch.float32).max
    assert joined.inner.layers[0].tolist() == [[[1], [lowest]], [[3], [4]]]
    assert joined.history.tolist() == [[5, 6], [7, 8]]


def test_replacing_sentences_leaves_the_others_unchanged():
    before = state(1, [1, 1, 1], [[5, 6], [5, 6], [5, 6]])
    replaced = before.replace(torch.tensor([2, 0]), state(3, [2, 1], [[8], [9]]))
    assert replaced.inner.keys.tolist() == [[3, 0], [1, 0], [3, 4]]
    assert replaced.inner.lengths.tolist() == [1, 1, 2]
    assert replaced.history.tolist() == [[7, 9], [5, 6], [7, 8]]
    assert before.history.tolist() == [[5, 6]] * 3


def test_hypotheses_are_gathered_within_their_sentence():
    hypotheses = torch.tensor([[[1], [2]], [[3], [4]]])
    assert gather_parents(hypotheses, torch.tensor([[1, 1, 0], [0, 1, 1]])).tolist() == [
        [[2], [2], [1]],
        [[3], [4], [4]],
    ]
