"""Device, precision and parallelism of training, applied to a model from outside: it never asks where it runs.

The decisions are pure functions of what a device can do, so that tests cover GPUs that the machine lacks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from translate.device import (
    AMPERE,
    Capabilities,
    Precision,
    capabilities,
    choose_device,
    decoding_precision,
    fastest_training_precision,
    unused_gpu,
    use_tf32,
)
from translate.distributed import World
from translate.errors import UserError
from translate.memory import machine_memory
from translate.models.quantised import AUTOCAST
from translate.models.seq2seq import Output, Seq2Seq
from translate.training.batch_memory import BatchMemory
from translate.training.fp8 import SLOWER_UP_TO, Fp8Layers, check_fp8_device, has_fp8_layers
from translate.training.loss_scale import LossScale
from translate.training.optimizer import check_memory
from translate.training.weight_casts import WeightCasts

if TYPE_CHECKING:
    from translate.training.config import TrainConfig

_WIDE_HEADS = {(8, 0), (9, 0)}  # where flash attention has gradients of heads wider than 192


@dataclass(frozen=True, kw_only=True)
class TrainingDecision:
    """Device, precision and layout of batches of a training run, made once at its start and logged.

    decoding_precision  precision that validation and test sets are decoded in
    padded_because      why batches are padded; "" where they are packed
    fp8                 matmuls of wide linear layers are in fp8 (training/fp8.py)
    warnings            settings and faults of the machine that make the run slow
    """

    device: torch.device
    capabilities: Capabilities
    precision: Precision
    decoding_precision: Precision
    padded_because: str
    fp8: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def packed(self) -> bool:
        return not self.padded_because

    @property
    def arithmetic(self) -> str:
        """Precision of training, with that of wide linear layers."""
        return f"{self.precision.value} with fp8 matmuls" if self.fp8 else self.precision.value

    def line(self) -> str:
        """The decision as a line for the log."""
        facts = f" ({self.capabilities})" if str(self.capabilities) else ""
        scaled = " with loss scaling" if self.precision is Precision.fp16 else ""
        batches = "packed batches" if self.packed else "padded batches"
        if self.padded_because and self.capabilities.on_gpu:
            batches += f" ({self.padded_because})"
        decoding = self.decoding_precision.value
        if self.decoding_precision is Precision.fp16 and not self.capabilities.on_gpu:
            decoding += " weights"
        return (
            f"device: {self.device}{facts}; training in {self.arithmetic}{scaled}, {batches}; "
            f"validation decodes in {decoding}"
        )


def decide_run(config: TrainConfig) -> TrainingDecision:
    """Device, precision and layout of batches of a configured run.

    Raises UserError for what the device cannot do, and for a model that does not fit into its memory.
    """
    device = choose_device(config.compute.device)
    check_memory(config, capabilities(device).memory or machine_memory())
    padded_because = ""
    if not config.model.reads_packed:
        padded_because = "this model reads padded sentences only"
    elif config.auxiliary:
        padded_because = "auxiliary losses read padded attention weights"
    elif config.adapt.adds_weights:
        padded_because = "prefixes have their own keys for every sentence"
    warnings = [warning] if (warning := unused_gpu(config.compute.device)) else []
    fp8 = config.compute.fp8 and has_fp8_layers(config)
    if config.compute.fp8 and not fp8:
        warnings.append("compute.fp8=true has no effect: the chosen model has no linear layers that are wide enough")
    elif fp8 and config.model.d_model <= SLOWER_UP_TO:
        warnings.append(f"compute.fp8=true: up to model.d_model={SLOWER_UP_TO}, an H100 was slower in fp8 than in bf16")
    return decide_training(
        device,
        capabilities(device),
        precision=config.compute.precision,
        head_width=config.model.head_width,
        padded_because=padded_because,
        fp8=fp8,
        warnings=warnings,
    )


def decide_training(
    device: torch.device,
    can: Capabilities,
    *,
    precision: Precision,
    head_width: int,
    padded_because: str = "",
    fp8: bool = False,
    warnings: Sequence[str] = (),
) -> TrainingDecision:
    """Choose precision and layout of batches for a training run. Raises UserError for what the device cannot do.

    head_width      of the model's self-attention; 0 where it has none
    padded_because  what in the configuration needs padded batches; "" if nothing does
    fp8             is asked for
    warnings        to be part of the decision
    """
    # precision first: the packed kernel exists for some only
    chosen = training_precision(precision, can)
    if fp8:
        check_fp8_device(can, chosen)
    slow = []
    if chosen is Precision.bf16 and not can.bf16_matmul:
        best = fastest_training_precision(can)
        slow = [f"compute.precision=bf16 is emulated on this device and slow: compute.precision=auto would be {best}"]
    return TrainingDecision(
        device=device,
        capabilities=can,
        precision=chosen,
        decoding_precision=validation_precision(chosen, can),
        padded_because=padded_because or _obstacle_to_packing(can, chosen, head_width),
        fp8=fp8,
        warnings=[*warnings, *slow],
    )


def check_training_precision(precision: Precision) -> None:
    """Raise UserError for a precision that no device trains in."""
    if precision is Precision.int8:
        raise UserError("compute.precision=int8 is for decoding: train in bf16, fp16 or fp32")


def training_precision(precision: Precision, can: Capabilities) -> Precision:
    """Precision of the matrix products of training; weights and sums stay in fp32.

    Raises UserError for a precision that the device does not train in.
    """
    check_training_precision(precision)
    if precision is Precision.fp16 and not can.on_gpu:
        raise UserError("compute.precision=fp16: training in fp16 needs a GPU; on a CPU use bf16 or fp32")
    return fastest_training_precision(can) if precision is Precision.auto else precision


def validation_precision(training: Precision, can: Capabilities) -> Precision:
    """Precision in which a run decodes its validation and test sets: on a GPU that of training, on a CPU the fastest.

    The fastest on a CPU, fp16 weights, rounds nothing but the weights, to 11 bits.
    """
    # as the decode command would choose: the scores of a run are to repeat outside of it
    return training if can.on_gpu else decoding_precision(Precision.auto, can)


def _obstacle_to_packing(can: Capabilities, precision: Precision, head_width: int) -> str:
    """The reason against variable-length flash attention; "" if it can be used."""
    if not can.on_gpu:
        return "the packed attention kernel is for GPUs"
    if not can.flash_attention:
        older = can.compute_capability is not None and can.compute_capability < AMPERE
        where = "GPUs of compute capability 8.0 and above" if older else "other builds of PyTorch"
        return f"the packed attention kernel is for {where}"
    if precision is Precision.fp32:
        return "the packed attention kernel is for bf16 and fp16"
    widest = 256 if can.compute_capability in _WIDE_HEADS else 192
    if head_width % 8 or not 0 < head_width <= widest:
        return f"the packed attention kernel needs heads of a width of 8, 16, … {widest}, not {head_width}"
    return ""


@dataclass(frozen=True, eq=False)
class ParallelModel:
    """A model on its device, as it is saved and as it is trained.

    module      the plain model
    forward     a forward pass with the same weights, synchronised between processes
    loss_scale  for training in fp16, else None
    casts       of the weights in bf16 or fp16; None: autocast makes them
    fp8         layers whose products are in fp8, in training alone
    memory      of the device: sizes of batches that do not fit into it
    """

    module: Seq2Seq
    forward: Callable[..., Output]
    device: torch.device
    precision: Precision
    loss_scale: LossScale | None = None
    casts: WeightCasts | None = None
    fp8: Fp8Layers | None = None
    memory: BatchMemory = field(default_factory=BatchMemory)

    @property
    def is_distributed(self) -> bool:
        """True if backward passes exchange gradients with other processes."""
        return isinstance(self.forward, DistributedDataParallel)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Context in which matrix products are computed in the run's precision."""
        dtype = AUTOCAST.get(self.precision)
        casts = nullcontext() if self.casts is None else self.casts.in_use()
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None), casts:
            yield

    @contextmanager
    def autocast_in_training(self) -> Iterator[None]:
        """autocast(), with fp8 matmuls where the run has them."""
        with self.autocast(), nullcontext() if self.fp8 is None else self.fp8.in_use():
            yield

    def gradient_sync(self, *, enabled: bool) -> AbstractContextManager[object]:
        """Context in which backward passes average gradients over processes, or leave that to a later one."""
        # exchanged once per update: gradients of earlier batches only add up locally
        if isinstance(self.forward, DistributedDataParallel) and not enabled:
            return self.forward.no_sync()
        return nullcontext()


def parallelize(model: Seq2Seq, world: World, decision: TrainingDecision) -> ParallelModel:
    """Move a model to its device, and let several processes train it together."""
    device, precision = decision.device, decision.precision
    if device.type == "cuda":
        use_tf32()
    model = model.to(device)
    forward: nn.Module = model
    if world.size > 1:
        devices = [device.index] if device.type == "cuda" else None
        # buffers are constants: without their exchange a forward pass can be repeated by one process alone
        has_new_name = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters  # PyTorch 2.13
        exchange: dict[str, Any] = {"forward_sync_buffers" if has_new_name else "broadcast_buffers": False}
        exchange["gradient_as_bucket_view"] = True  # no second copy of the gradients
        forward = DistributedDataParallel(model, device_ids=devices, **exchange)
    # bf16 has the exponents of fp32 and needs none
    loss_scale = LossScale(device) if precision is Precision.fp16 else None
    fp8 = Fp8Layers(model, emulated=device.type == "cpu") if decision.fp8 else None
    dtype, casts = AUTOCAST.get(precision), None
    if dtype is not None:
        # fp8 layers round weights in fp32
        with nullcontext() if fp8 is None else fp8.in_use():
            casts = WeightCasts(model, dtype, overlapping=world.size > 1)
    return ParallelModel(model, forward, device, precision, loss_scale, casts, fp8)
