"""Batches and memory: a size that fits is found before a run; batches that do not fit are halved during one.

During a run they are halved until their parts fit, and their sizes are remembered. All losses are sums over sentences,
divided by the number of target tokens of the whole update, so that the gradient of the parts is that of the batch,
except for rounding and different dropout masks.

Processes exchange gradients during the backward pass of the last batch, by hooks that all must reach: one process alone
could not recover from an error in that pass. So the last batch must have a size that has fitted before; otherwise a
batch of one pair without labels follows for the exchange (`exchange_batch`). A process that runs out of memory then
repeats its update while the others wait.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from translate.batch import Batch, Side, pack_batch, pad_batch
from translate.data.batching import MOST_TOKENS
from translate.errors import UserError
from translate.training.open_options import Choice, with_choice

if TYPE_CHECKING:
    from translate.training.config import TrainConfig

logger = logging.getLogger(__name__)
Shape = tuple[int, ...]  # see Batch.shape
RandomState = dict[str, torch.Tensor | None]
_MULTIPLE = 8  # of tokens in a batch: units for matrix products compute as many rows at once
_LEAST_TRIED = 512  # tokens; where batches of so many do not fit, they are halved during the run
# Of the free memory, for the largest batches of an epoch: others have larger ones, and CUDA graphs and fragmentation
# take memory, too.
_MEMORY_SHARE = 0.8


def divide_update(
    config: TrainConfig, update: int, devices: int, fits: Callable[[TrainConfig], bool], *, cause: str
) -> Choice:
    """Tokens per batch and batches per update, as far as they are open, for updates of so many tokens on all devices.

    fits   True for a configuration whose batches are not too large
    cause  why larger batches are not chosen
    """
    batch, is_open = config.batch, "batch.accumulation" in config.chosen
    share, note = max(1, update // devices), ""
    if "batch.tokens" not in config.chosen:
        # unless the user sets the size of updates, it is that of the batches
        parts = round(share / batch.tokens) if batch.update_tokens else batch.accumulation
        return _size_choice(batch.tokens, max(1, parts), devices)
    parts = 1 if is_open else batch.accumulation
    while True:
        size = max(_MULTIPLE, share // parts // _MULTIPLE * _MULTIPLE)
        choice = _size_choice(size, parts if is_open else batch.accumulation, devices, note)
        if size <= _LEAST_TRIED or (size <= MOST_TOKENS and fits(with_choice(config, choice))):
            return choice
        note = f"; batches of {size:,} {cause}"
        parts *= 2


def _size_choice(tokens: int, accumulation: int, devices: int, note: str = "") -> Choice:
    """A size of batches, with that of updates as the reason; note: on larger batches."""
    reason = f"updates of {tokens * accumulation * devices:,} tokens"
    if devices > 1:
        reason += f" on {devices} devices together"
    return Choice({"batch.tokens": tokens, "batch.accumulation": accumulation}, reason + note)


def has_room(work: Callable[[], None], device: torch.device) -> bool:
    """Do some work on a GPU; True if a part of the memory that was free stays so. On a CPU always: it is unknown."""
    free_memory(device)
    if device.type != "cuda":
        work()
        return True
    free, before = torch.cuda.mem_get_info(device)[0], torch.cuda.memory_allocated(device)
    work()
    return torch.cuda.max_memory_allocated(device) - before <= _MEMORY_SHARE * free


def free_memory(device: torch.device) -> None:
    """Free the memory of models that are no longer used, and count the peak anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


class BatchMemory:
    """Sizes of batches that were too large for the memory of this process, and of batches that have fitted.

    too_large  part of the run's state, so that a continued run halves the same batches
    """

    def __init__(self) -> None:
        self.too_large: list[Shape] = []
        self._fitting: list[Shape] = []
        self._newest: Batch | None = None
        self._num_updates = 0

    def parts(self, batches: Sequence[Batch]) -> list[Batch]:
        """The batches, with halves, or quarters …, of those that are too large.

        Raises UserError where a single pair is.
        """
        return [part for batch in batches for part in self._parts_of(batch)]

    def _parts_of(self, batch: Batch) -> list[Batch]:
        # as large in every dimension: few long pairs and many short pairs need different amounts of memory
        if not any(_covers(batch.shape, shape) for shape in self.too_large):
            return [batch]
        halves = halves_of(batch)
        if len(halves) == 1:
            raise UserError(
                f"out of memory: a single pair of {_lengths(batch)} does not fit beside the model; lower "
                "data.cleaning.max_tokens, choose a smaller model=, or free memory"
            )
        return self.parts(halves)

    def note_too_large(self, batch: Batch, *, exchanging: bool) -> None:
        """Halve batches of this size from now on.

        exchanging  other processes wait for the gradients of this pass: raises UserError
        """
        if exchanging:
            raise UserError(
                f"out of memory with a batch of {_lengths(batch)}, although one as large has fitted before: free "
                "memory on this device or lower batch.tokens; the same command continues the run"
            )
        self._newest = batch
        self.too_large = [*(shape for shape in self.too_large if not _covers(shape, batch.shape)), batch.shape]
        self._fitting = [shape for shape in self._fitting if not _covers(shape, batch.shape)]

    def free(self, device: torch.device, *, step: int, tokens: int) -> None:
        """Free the memory of the failed update, and log the size of the batch; tokens: batch.tokens."""
        if device.type == "cuda":
            torch.cuda.empty_cache()
        assert self._newest is not None
        pairs = len(self._newest.source.sentences())
        logger.warning(
            f"step {step:,}: out of memory with a batch of {pairs:,} pairs of {_lengths(self._newest)} (batch.tokens="
            f"{tokens}): the update is repeated, and batches of this size are computed in halves from now on"
        )

    def note_fitting(self, batches: Sequence[Batch]) -> None:
        """Note the sizes of batches whose gradients have been computed."""
        # the optimizer allocates its state in the first update, after which less memory is left
        self._num_updates += 1
        if self._num_updates > 1:
            for batch in batches:
                if not self.fits(batch):
                    smaller = [shape for shape in self._fitting if _covers(batch.shape, shape)]
                    self._fitting = [*(shape for shape in self._fitting if shape not in smaller), batch.shape]

    def fits(self, batch: Batch) -> bool:
        """True if a batch as large has fitted before."""
        return any(_covers(shape, batch.shape) for shape in self._fitting)


class UndividedMemory(BatchMemory):
    """Memory of a trial, in which a batch that does not fit is an error."""

    def note_too_large(self, batch: Batch, *, exchanging: bool) -> None:
        raise MemoryError


def halves_of(batch: Batch) -> list[Batch]:
    """Both halves of a batch, without unneeded padding; a batch of one pair is returned unchanged."""
    source, target = batch.pairs()
    if len(source) < 2:
        return [batch]
    middle = len(source) // 2
    pieces = [slice(middle), slice(middle, None)]
    if batch.source.is_packed:
        # half of the positions, or a half would need as much memory as the whole
        halves = [pack_batch(source[piece], target[piece], len(batch.source.ids) // 2) for piece in pieces]
    else:
        halves = [pad_batch(source[piece], target[piece]) for piece in pieces]
    return halves if batch.num_target_tokens else [half.without_labels() for half in halves]


def exchange_batch(batch: Batch) -> Batch:
    """The smallest batch of the same kind: it adds nothing to a gradient, and takes hardly any memory."""
    empty: Side = [np.empty(0, np.int64)]
    smallest = pack_batch(empty, empty, 2) if batch.source.is_packed else pad_batch(empty, empty)
    return smallest.without_labels()


def random_state(device: torch.device) -> RandomState:
    """States of the random generators that an update draws from."""
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_random_state(state: RandomState, device: torch.device) -> None:
    """Restore the generators to the result of random_state()."""
    assert state["cpu"] is not None
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def same_draws_after(device: torch.device) -> Iterator[None]:
    """Context that restores the random generators at its end."""
    before = random_state(device)
    yield
    set_random_state(before, device)


def _covers(larger: Shape, smaller: Shape) -> bool:
    """True if one shape is at least as large as the other in every dimension."""
    return len(larger) == len(smaller) and all(a >= b for a, b in zip(larger, smaller, strict=True))


def _lengths(batch: Batch) -> str:
    return f"up to {batch.source.max_length} source and {batch.target.max_length} target tokens"
