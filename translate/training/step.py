"""One update of the weights from one or more batches on one or more processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from translate.batch import Batch
from translate.distributed import World
from translate.losses import label_smoothed_cross_entropy
from translate.training.parallel import Trainee


@dataclass(frozen=True)
class Result:
    """What an update did, over all its batches on all processes.

    loss and cross_entropy are means per target token, in nats, with and without label smoothing. When the
    gradient was not finite, the update was skipped.
    """

    loss: float
    cross_entropy: float
    gradient_norm: float
    target_tokens: int
    source_tokens: int
    places: int  # tokens and padding, on both sides

    @property
    def skipped(self) -> bool:
        return not math.isfinite(self.gradient_norm)


@dataclass(frozen=True, eq=False)
class Launched:
    """An update that the device may still be working on.

    sums  (2,): the summed losses, with and without label smoothing, of all processes
    """

    sums: torch.Tensor
    gradient_norm: torch.Tensor
    target_tokens: int
    source_tokens: int
    places: int

    def result(self) -> Result:
        """Waits for the device."""
        loss, cross_entropy = (self.sums / self.target_tokens).tolist()
        return Result(
            loss=loss,
            cross_entropy=cross_entropy,
            gradient_norm=float(self.gradient_norm),
            target_tokens=self.target_tokens,
            source_tokens=self.source_tokens,
            places=self.places,
        )


def update(
    trainee: Trainee,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    *,
    smoothing: float,
    clip_norm: float,
    world: World,
) -> Launched:
    """Sum the gradients of all batches, divide by the number of their target tokens, and step.

    1 batch of 8 sentences, 4 of 2 and 2 processes with 4 each give the same update, but for rounding. Nothing here
    waits for a GPU: the optimiser has to be a fused one, which skips by itself a step whose gradient is not finite.
    """
    counts = world.sum(torch.tensor([_counts(batch) for batch in batches], dtype=torch.int64).sum(0)).tolist()
    target_tokens = counts[0]
    sums = torch.zeros(2, dtype=torch.float32, device=trainee.device)
    for number, batch in enumerate(batches):
        with trainee.accumulating(last=number == len(batches) - 1):
            with trainee.computing():
                moved = batch.to(trainee.device)
                output = trainee.module(moved)
                loss, plain = label_smoothed_cross_entropy(
                    output.hidden, output.weight, moved.labels, smoothing=smoothing
                )
            # DDP averages over ranks; multiply back so that every token counts once
            (loss * (world.size / target_tokens)).backward()
        sums += torch.stack([loss.detach(), plain])
    norm = _clip(trainee.model, clip_norm)
    optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return Launched(world.sum(sums), norm, *counts)


def _counts(batch: Batch) -> list[int]:
    return [
        batch.num_target_tokens,
        batch.num_source_tokens,
        batch.source.ids.numel() + batch.target.ids.numel(),
    ]


def _clip(model: nn.Module, clip_norm: float) -> torch.Tensor:
    """Scale the gradients down to the norm clip_norm (0: leave them); their norm before."""
    return nn.utils.clip_grad_norm_(model.parameters(), clip_norm or math.inf, foreach=True)
