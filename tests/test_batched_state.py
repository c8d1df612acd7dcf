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


@dataclass(frozen=True, eq=False)
class Grouped(BatchedState):
    """parts (2, B, S): of sentences in the second dimension."""

    PADDED: ClassVar = {"parts": Padding(-1), "mask": Padding(-1, 9)}
    SENTENCES: ClassVar = {"parts": 1}

    parts: Tensor
    mask: Tensor


def grouped(rows: list[list[int]]) -> Grouped:
    return Grouped(torch.tensor([rows, rows]), torch.tensor(rows))


def test_sentences_in_another_dimension():
    before = grouped([[1, 2], [3, 4], [5, 6]])
    assert before.select(torch.tensor([2, 0])).parts.tolist() == [[[5, 6], [1, 2]]] * 2
    assert before.concat(grouped([[7]])).parts.tolist() == [[[1, 2], [3, 4], [5, 6], [7, 0]]] * 2
    assert before.replace(torch.tensor([1]), grouped([[7, 8]])).parts.tolist() == [[[1, 2], [7, 8], [5, 6]]] * 2
    assert before.first(1).parts.tolist() == [[[1, 2]]] * 2
    assert before.blank(1, 3).parts.tolist() == [[[0, 0, 0]]] * 2


def test_overwritten_rows_are_padded_where_anything_depends_on_it():
    state = grouped([[1, 2], [3, 4], [5, 6]])
    state.overwrite(grouped([[7]]))
    assert state.parts.tolist() == [[[7, 2], [3, 4], [5, 6]]] * 2
    assert state.mask.tolist() == [[7, 9], [3, 4], [5, 6]]
    state.overwrite(grouped([[8], [0]]), torch.tensor([2, 1]))
    assert state.parts.tolist() == [[[7, 2], [0, 4], [8, 6]]] * 2
    assert state.mask.tolist() == [[7, 9], [0, 9], [8, 9]]


def test_views_of_the_rows_themselves_are_not_copied():
    state = grouped([[1, 2], [3, 4]])
    state.overwrite(Grouped(state.parts[:, :1], state.mask[:1, :1]))
    assert state.mask.tolist() == [[1, 2], [3, 4]], "the rest is padding already"


def test_hypotheses_are_gathered_within_their_sentence():
    hypotheses = torch.tensor([[[1], [2]], [[3], [4]]])
    assert gather_parents(hypotheses, torch.tensor([[1, 1, 0], [0, 1, 1]])).tolist() == [
        [[2], [2], [1]],
        [[3], [4], [4]],
    ]
