"""One update of the weights from one or more batches on one or more processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from translate.batch import Batch, copy_to_cpu
from translate.distributed import World
from translate.losses import AUXILIARY_LOSSES, AuxiliaryLossConfig, label_smoothed_cross_entropy
from translate.memory import is_out_of_memory
from translate.training.batch_memory import exchange_batch, random_state, same_draws_after, set_random_state
from translate.training.config import TrainConfig
from translate.training.parallel import ParallelModel
from translate.training.spikes import SpikeLimits, no_limits


@dataclass(frozen=True)
class StepResult:
    """The result of update number `step`, over all its batches on all processes.

    loss and cross_entropy are means per target token, in nats, with and without label smoothing; auxiliary are the
    other losses, before they were weighted. When a loss or the gradient was not finite, or above its limit (spiked),
    the update was skipped; loss_scale is what fp16 gradients were multiplied by, 1 in other precisions. divided is the
    number of batches, of all processes, that did not fit into memory whole.
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
    spiked: bool = False
    divided: int = 0

    @property
    def skipped(self) -> bool:
        return self.spiked or not self._is_finite

    @property
    def diverged(self) -> bool:
        """True if the model is to blame for a skipped update, not merely a gradient that was scaled up for fp16."""
        return self.skipped and (self.spiked or self.loss_scale <= 1 or not self._has_finite_losses)

    @property
    def cause(self) -> str:
        """Why the update was skipped."""
        if self.spiked:
            return (
                f"the loss ({self.loss:.3g}) or gradient norm ({self.gradient_norm:.3g}) was far above the recent ones"
            )
        return f"the {'loss or gradient was not finite' if self.diverged else 'loss scale of fp16 was too large'}"

    @property
    def _is_finite(self) -> bool:
        return self._has_finite_losses and math.isfinite(self.gradient_norm)

    @property
    def _has_finite_losses(self) -> bool:
        return all(map(math.isfinite, (self.loss, self.cross_entropy, *self.auxiliary.values())))


@dataclass(frozen=True, eq=False)
class PendingUpdate:
    """Result of an update that the GPU may not have finished.

    numbers  (2 + A + 4,) on the CPU: sums of the losses with and without label smoothing, of the A auxiliary ones, and
             of the batches that were divided, over all processes; gradient norm; 1 if the loss or the gradient is above
             its limit; factor of the loss, 1 outside of fp16
    copied   event after which the GPU has written the numbers; None on a CPU
    """

    step: int
    numbers: Tensor
    copied: torch.Event | None
    auxiliary: tuple[str, ...]
    target_tokens: int
    source_tokens: int
    positions: int

    def result(self) -> StepResult:
        """Wait until the device has computed the numbers, and read them."""
        if self.copied is not None:
            self.copied.synchronize()
        *sums, divided, gradient_norm, spiked, loss_scale = self.numbers.tolist()
        loss, cross_entropy, *others = (value / max(self.target_tokens, 1) for value in sums)
        return StepResult(
            step=self.step,
            loss=loss,
            cross_entropy=cross_entropy,
            auxiliary=dict(zip(self.auxiliary, others, strict=True)),
            gradient_norm=gradient_norm,
            target_tokens=self.target_tokens,
            source_tokens=self.source_tokens,
            positions=self.positions,
            loss_scale=loss_scale,
            spiked=bool(spiked),
            divided=int(divided),
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
    limits: Callable[[int], SpikeLimits] = no_limits,
) -> PendingUpdate:
    """Sum the gradients of all batches, divide by the number of their target tokens, and step.

    step           number of this update, from 1
    fraction_done  of the run: auxiliary losses that start later take no part
    limits         of an update of so many target tokens, which is skipped above them

    1 batch of 8 sentences, 4 of 2 and 2 processes with 4 each give the same update, but for rounding. Nothing here
    waits for a GPU: the optimizer has to be a fused one, which skips by itself a step whose found_inf is 1.

    Raises UserError where a single pair does not fit into memory.
    """
    model.module.set_training_step(step)
    # the number of target tokens is needed before the first backward pass: on all processes, over all batches
    counts = world.sum_counts(count_tokens(batches))
    target_tokens = counts[0]
    # auxiliary losses may begin after a part of the run
    auxiliary = {name: loss for name, loss in config.auxiliary.items() if fraction_done >= loss.start}
    # DDP averages over ranks; multiply back so that every token counts once
    objective = Objective(model, config.loss.label_smoothing, auxiliary, world.size / max(target_tokens, 1))
    random = random_state(model.device)
    while (sums := _add_gradients(objective, batches)) is None:
        # repeated with the same draws: the gradient may hold a part of the batch that was too large
        optimizer.zero_grad(set_to_none=True)
        set_random_state(random, model.device)
        model.memory.free(model.device, step=step, tokens=config.batch.tokens)
    most = limits(target_tokens)
    judged = judge_gradient(
        model,
        # all processes must agree on whether the update counts, so that losses are summed before the step
        world.sum(sums),
        clip_norm=config.optimizer.clip_norm,
        most_loss=most.loss * max(target_tokens, 1),
        most_norm=most.gradient_norm,
    )
    if not target_tokens:
        judged.found_inf.fill_(1.0)
    numbers, copied = copy_to_cpu(judged.numbers)
    apply_gradient(model, optimizer, judged)
    return PendingUpdate(step, numbers, copied, tuple(auxiliary), *counts)


@dataclass(frozen=True, eq=False)
class Judgement:
    """Findings of the device in a gradient, before the step.

    numbers     see PendingUpdate.numbers, on the device
    overflowed  (), bool: a loss or the gradient is not finite
    found_inf   (), fp32: 1 if the update is to be skipped
    """

    numbers: Tensor
    overflowed: Tensor
    found_inf: Tensor


def judge_gradient(
    model: ParallelModel, sums: Tensor, *, clip_norm: float, most_loss: float | Tensor, most_norm: float | Tensor
) -> Judgement:
    """Unscale and clip the gradient, and judge whether the update is made; nothing here waits for a GPU.

    sums       of the losses, and of divided batches, over all processes: (2 + A + 1,)
    clip_norm  largest norm that is kept; 0: any
    most_loss, most_norm  limits of the sum of the losses and of the norm, as numbers or tensors ()
    """
    scaling = model.loss_scale
    loss_scale = torch.ones_like(sums[0]) if scaling is None else scaling.factor
    if scaling is not None:
        scaling.unscale(model.module.parameters())  # before clipping, which needs the true norm
    norm = nn.utils.clip_grad_norm_(model.module.parameters(), clip_norm or math.inf, foreach=True)
    overflowed = ~(norm.isfinite() & sums.isfinite().all())
    spiked = ~overflowed & ((norm > most_norm) | (sums[0] > most_loss))
    numbers = torch.cat([sums, torch.stack([norm, spiked, loss_scale])])
    return Judgement(numbers, overflowed, (overflowed | spiked).float())


def apply_gradient(model: ParallelModel, optimizer: torch.optim.Optimizer, judged: Judgement) -> None:
    """Step unless the update is skipped, drop the gradient, and adapt the loss scale."""
    optimizer.found_inf = judged.found_inf  # type: ignore[attr-defined]
    optimizer.step()  # does nothing where found_inf is 1
    optimizer.zero_grad(set_to_none=True)  # of a skipped update, too
    if model.loss_scale is not None:
        model.loss_scale.update(judged.overflowed.float())


def count_tokens(batches: Sequence[Batch]) -> list[int]:
    """Target tokens, source tokens, and positions of both sides with padding, of all batches."""
    return [
        sum(batch.num_target_tokens for batch in batches),
        sum(batch.num_source_tokens for batch in batches),
        sum(batch.source.ids.numel() + batch.target.ids.numel() for batch in batches),
    ]


@dataclass(frozen=True, eq=False)
class Objective:
    """All losses of one update.

    factor  of their sum, before its gradient is taken; a number or a tensor ()
    """

    model: ParallelModel
    smoothing: float
    auxiliary: Mapping[str, AuxiliaryLossConfig]
    factor: float | Tensor

    def add_gradient(self, batch: Batch) -> Tensor:
        """Add the gradient of a batch to that of the parameters; each of its losses, detached, (2 + A,)."""
        with self.model.autocast_in_training():
            total, losses = self._total_loss(batch.to(self.model.device))
        mean = total * self.factor
        scaling = self.model.loss_scale
        (mean if scaling is None else mean * scaling.factor).backward()
        return losses

    def _total_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Weighted sum of all losses; and each of them, detached, (2 + A,)."""
        configs = self.auxiliary.values()
        # asked for only where a loss needs it: fused kernels do not return attention weights
        wants_attention = any(config.NEEDS_ATTENTION for config in configs)
        output = self.model.forward(batch, return_attention=wants_attention)
        loss, plain = label_smoothed_cross_entropy(output.hidden, output.weight, batch.labels, smoothing=self.smoothing)
        others = [
            AUXILIARY_LOSSES[name][1](config, self.model.module, batch, output)
            for name, config in self.auxiliary.items()
        ]
        # the first sum has gradients; the second tensor is for reports, and must not keep the graph alive
        weighted = [config.weight * other for config, other in zip(configs, others, strict=True)]
        return sum(weighted, start=loss), torch.stack([x.detach().float() for x in (loss, plain, *others)])


def _add_gradients(objective: Objective, batches: Sequence[Batch]) -> Tensor | None:
    """Add the gradients of all batches; PendingUpdate.sums of this process.

    None: a batch did not fit into memory. Its size is noted, and the gradients so far are to be dropped.
    """
    model, memory = objective.model, objective.model.memory
    parts = memory.parts(batches)
    sums = torch.zeros(2 + len(objective.auxiliary) + 1, dtype=torch.float32, device=model.device)
    sums[-1].fill_(len(parts) - len(batches))  # an assignment would be a copy, which waits for the GPU
    # gradients are exchanged once, with a last batch that must not fail (training/batch_memory.py)
    exchanges_apart = model.is_distributed and not memory.fits(parts[-1])
    for number, part in enumerate(parts, start=1):
        is_last = number == len(parts) and not exchanges_apart
        try:
            with model.gradient_sync(enabled=is_last):
                sums[:-1] += objective.add_gradient(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            memory.note_too_large(part, exchanging=is_last and model.is_distributed)
            return None
    memory.note_fitting(parts)
    if exchanges_apart:
        with same_draws_after(model.device), torch.compiler.set_stance("force_eager"):
            objective.add_gradient(exchange_batch(parts[-1]))
    return sums
