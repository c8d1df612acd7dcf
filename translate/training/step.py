"""One update of the weights from one or more batches on one or more processes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from translate.batch import Batch
from translate.distributed import World
from translate.losses import AUXILIARY_LOSSES, AuxiliaryLossConfig, label_smoothed_cross_entropy
from translate.training.config import TrainConfig
from translate.training.parallel import ParallelModel


@dataclass(frozen=True)
class StepResult:
    """The result of update number `step`, over all its batches on all processes.

    loss and cross_entropy are means per target token, in nats, with and without label smoothing; auxiliary are the
    other losses, before they were weighted. When a loss or the gradient was not finite, the update was skipped;
    loss_scale is what fp16 gradients were multiplied by, 1 in other precisions.
    """

    step: int
    loss: float
    cross_entropy: float
    auxiliary: dict[str, float]
    gradient_norm: float
    target_tokens: int
    source_tokens: int
    positions: int  # tokens and padding, on both sides
    loss_scale: float = 1.0

    @property
    def skipped(self) -> bool:
        return not (self._has_finite_losses and math.isfinite(self.gradient_norm))

    @property
    def diverged(self) -> bool:
        """True if a loss or the gradient itself was not finite, not merely a gradient that was scaled up for fp16."""
        return self.skipped and (self.loss_scale <= 1 or not self._has_finite_losses)

    @property
    def _has_finite_losses(self) -> bool:
        return all(map(math.isfinite, (self.loss, self.cross_entropy, *self.auxiliary.values())))


@dataclass(frozen=True, eq=False)
class PendingUpdate:
    """Result of an update that the GPU may not have finished.

    sums        (2 + A,): sums of the losses with and without label smoothing, then of the A auxiliary ones, over all
                processes
    loss_scale  (): factor of the loss in this update; None outside of fp16
    """

    step: int
    sums: Tensor
    auxiliary: tuple[str, ...]
    gradient_norm: Tensor
    loss_scale: Tensor | None
    target_tokens: int
    source_tokens: int
    positions: int

    def result(self) -> StepResult:
        """Wait for the device and read the numbers."""
        loss, cross_entropy, *others = (self.sums / max(self.target_tokens, 1)).tolist()
        return StepResult(
            step=self.step,
            loss=loss,
            cross_entropy=cross_entropy,
            auxiliary=dict(zip(self.auxiliary, others, strict=True)),
            gradient_norm=float(self.gradient_norm),
            target_tokens=self.target_tokens,
            source_tokens=self.source_tokens,
            positions=self.positions,
            loss_scale=1.0 if self.loss_scale is None else float(self.loss_scale),
        )


def train_step(
    model: ParallelModel,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    config: TrainConfig,
    world: World,
    *,
    step: int,
    fraction_done: float = 0.0,
) -> PendingUpdate:
    """Sum the gradients of all batches, divide by the number of their target tokens, and step.

    step           number of this update, from 1
    fraction_done  of the run: auxiliary losses that start later take no part

    1 batch of 8 sentences, 4 of 2 and 2 processes with 4 each give the same update, but for rounding. Nothing here
    waits for a GPU: the optimizer has to be a fused one, which skips by itself a step whose found_inf is 1.
    """
    model.module.set_training_step(step)
    # the number of target tokens is needed before the first backward pass: on all processes, over all batches
    counts = world.sum(torch.tensor([_counts(batch) for batch in batches], dtype=torch.int64).sum(0)).tolist()
    target_tokens = counts[0]
    # auxiliary losses may begin after a part of the run
    auxiliary = {name: loss for name, loss in config.auxiliary.items() if fraction_done >= loss.start}
    scaling = model.loss_scale
    loss_scale = None if scaling is None else scaling.factor
    sums = torch.zeros(2 + len(auxiliary), dtype=torch.float32, device=model.device)
    for number, batch in enumerate(batches, start=1):
        with model.gradient_sync(enabled=number == len(batches)):  # exchanged once, with the last batch
            with model.autocast():
                total, losses = _total_loss(model, batch.to(model.device), config.loss.label_smoothing, auxiliary)
            # DDP averages over ranks; multiply back so that every token counts once
            mean = total * (world.size / max(target_tokens, 1))
            (mean if loss_scale is None else mean * loss_scale).backward()
        sums += losses
    if scaling is not None:
        scaling.unscale(model.module.parameters())  # before clipping, which needs the true norm
    norm = nn.utils.clip_grad_norm_(model.module.parameters(), config.optimizer.clip_norm or math.inf, foreach=True)
    # all processes must agree on whether the update counts, so that losses are summed before the step
    sums = world.sum(sums)
    found_inf = (~(norm.isfinite() & sums.isfinite().all())).float()
    optimizer.found_inf = found_inf if target_tokens else torch.ones_like(found_inf)  # type: ignore[attr-defined]
    optimizer.step()  # does nothing where found_inf is 1
    optimizer.zero_grad(set_to_none=True)  # of a skipped update, too
    if scaling is not None:
        scaling.update(found_inf)
    return PendingUpdate(step, sums, tuple(auxiliary), norm, loss_scale, *counts)


def _counts(batch: Batch) -> list[int]:
    """Target tokens, source tokens, and positions of both sides with padding."""
    return [batch.num_target_tokens, batch.num_source_tokens, batch.source.ids.numel() + batch.target.ids.numel()]


def _total_loss(
    model: ParallelModel, batch: Batch, smoothing: float, auxiliary: Mapping[str, AuxiliaryLossConfig]
) -> tuple[Tensor, Tensor]:
    """Weighted sum of all losses; and each of them, detached, (2 + A,)."""
    wants_attention = any(config.NEEDS_ATTENTION for config in auxiliary.values())
    # asked for only where a loss needs it: fused kernels do not return attention weights
    output = model.forward(batch, return_attention=wants_attention)
    loss, plain = label_smoothed_cross_entropy(output.hidden, output.weight, batch.labels, smoothing=smoothing)
    others = [AUXILIARY_LOSSES[name][1](config, model.module, batch, output) for name, config in auxiliary.items()]
    # the first sum has gradients; the second tensor is for reports, and must not keep the graph alive
    weighted = [config.weight * other for config, other in zip(auxiliary.values(), others, strict=True)]
    return sum(weighted, start=loss), torch.stack([x.detach().float() for x in (loss, plain, *others)])
