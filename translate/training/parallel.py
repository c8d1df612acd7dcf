"""Parallelism and precision, applied to a model from outside: it never asks where or in what type it runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from translate.device import (
    Device,
    Precision,
    capabilities,
    check_training_precision,
    choose_device,
    training_precision,
    use_tf32,
)
from translate.distributed import World
from translate.errors import require_at_least
from translate.models.seq2seq import Output, Seq2Seq
from translate.training.loss_scale import LossScale

AUTOCAST = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}


@dataclass(kw_only=True)
class ComputeConfig:
    """Where and how a model is trained.

    precision  auto is bf16 on GPUs and CPUs with matrix units for it, fp16 on GPUs with units for that alone, fp32
               elsewhere; weights and sums stay in fp32 in any case
    compile    let torch.compile fuse the model; pays on a GPU, whose packed batches never change shape
    threads    of the CPU; 0: as many as PyTorch takes by itself
    """

    device: Device = Device.auto
    precision: Precision = Precision.auto
    compile: bool = False
    threads: int = 0

    def check(self) -> None:
        check_training_precision(self.precision)
        require_at_least("compute.threads", self.threads, 0)


@dataclass(frozen=True, eq=False)
class Trainee:
    """A model on its device, as it is saved and as it is trained.

    model       the plain model
    module      the same weights, compiled or wrapped for several processes
    loss_scale  for training in fp16, else None
    """

    model: Seq2Seq
    module: Callable[..., Output]
    device: torch.device
    precision: Precision
    loss_scale: LossScale | None = None

    def computing(self) -> AbstractContextManager[object]:
        """Inside, matrix products are made in the run's precision."""
        dtype = AUTOCAST.get(self.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def accumulating(self, *, last: bool) -> AbstractContextManager[object]:
        """Gradients travel between processes only for the last batch of an update."""
        if isinstance(self.module, DistributedDataParallel) and not last:
            return self.module.no_sync()
        return nullcontext()


def prepare_trainee(model: Seq2Seq, config: ComputeConfig, world: World) -> Trainee:
    """Put a model where it is to be trained."""
    device = choose_device(config.device)
    precision = training_precision(config.precision, capabilities(device))
    if device.type == "cuda":
        use_tf32()
    model = model.to(device)
    if config.compile:
        model.compile()
    module: nn.Module = model
    if world.size > 1:
        module = DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)
    loss_scale = LossScale(device) if precision is Precision.fp16 else None
    return Trainee(model, module, device, precision, loss_scale)
