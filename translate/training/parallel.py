"""Parallelism and precision, applied to a model from outside: it never asks where or in what type it runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from translate.decoding.engine import Device, Precision, choose_device
from translate.distributed import World
from translate.models.seq2seq import Output, Seq2Seq


@dataclass(kw_only=True)
class ComputeConfig:
    """Where and how a model is trained.

    precision  auto is bf16 on a GPU, and on a CPU that multiplies bfloat16 matrices in hardware; weights and
               sums stay in fp32 either way
    compile    let torch.compile fuse the model; pays on a GPU, whose packed batches never change shape
    threads    of the CPU; 0: as many as PyTorch takes by itself
    """

    device: Device = Device.auto
    precision: Precision = Precision.auto
    compile: bool = False
    threads: int = 0


@dataclass(frozen=True, eq=False)
class Trainee:
    """A model on its device, as it is saved and as it is trained.

    model   the plain model
    module  the same weights, compiled or wrapped for several processes
    """

    model: Seq2Seq
    module: Callable[..., Output]
    device: torch.device
    precision: Precision

    def computing(self) -> AbstractContextManager[object]:
        """Inside, matrix products are made in the run's precision."""
        enabled = self.precision == Precision.bf16
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def accumulating(self, *, last: bool) -> AbstractContextManager[object]:
        """Gradients travel between processes only for the last batch of an update."""
        if isinstance(self.module, DistributedDataParallel) and not last:
            return self.module.no_sync()
        return nullcontext()


def prepare_trainee(model: Seq2Seq, config: ComputeConfig, world: World) -> Trainee:
    """Put a model where it is to be trained."""
    device = choose_device(config.device)
    if device.type == "cuda":
        device = torch.device("cuda", world.local_rank)
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    model = model.to(device)
    if config.compile:
        model.compile()
    module: nn.Module = model
    if world.size > 1:
        module = DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)
    return Trainee(model, module, device, resolve_precision(config.precision, device))


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """What auto means on this device."""
    if precision != Precision.auto:
        return precision
    return Precision.bf16 if multiplies_bfloat16(device) else Precision.fp32


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether it has matrix units for bfloat16, as GPUs and CPUs with Intel's AMX: without, it is slower than fp32."""
    check = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return device.type == "cuda" or bool(check and check())
