"""Checks of this machine's device against references: kernels, updates, resuming and decoding.

    kernels.py   attention against its formula in double precision
    updates.py   gradients of updates: packed batches, all architectures and losses, every way of compute.fast_path
    failed_updates.py  updates that overflow in fp16, or do not fit into memory
    decoding.py  hypotheses at several batch sizes, and against the CPU
    runs.py      training in child processes: a run killed and continued, two ranks, and the shipped corpus
    children.py  child processes, and ranks, whose crash or hang becomes an error
    speed.py     ceilings of the device; speed of training, on one and several devices, and of decoding
    timing.py    updates of each model size, timed and profiled
    peers.py     models of the same sizes in other libraries
    launches.py, simulated_gpu.py, roofline.py  kernel launches of updates and decoding steps, counted without a GPU,
                 and their predicted time
    report.py    the results as JSON, Markdown page and lines of text
    __main__.py  the command, which runs each stage in its own process

A stage is a function of a `Check`, which compares errors with tolerances and records what cannot be checked. A
tolerance follows from the precision of the arithmetic, or from the error of a plain reference in the same precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor

from translate.device import Capabilities, Device, require_threads
from translate.errors import UserError, require_between

NO_CUDA = "no CUDA device"


class StageName(StrEnum):
    machine = "machine"
    kernels = "kernels"
    packed = "packed"
    updates = "updates"
    scaling = "scaling"
    memory = "memory"
    compile = "compile"
    resume = "resume"
    batches = "batches"
    hypotheses = "hypotheses"
    processes = "processes"
    corpus = "corpus"
    ceilings = "ceilings"
    training_speed = "training_speed"
    parallel_speed = "parallel_speed"
    decoding_speed = "decoding_speed"


@dataclass(kw_only=True)
class GpuCheckConfig:
    """Check this machine's device, in stages, each against a reference.

    machine     device, driver and versions; a matrix product
    kernels     every attention kernel, forward and backward, against the formula in double precision
    packed      gradients of packed sentences against those of padded ones
    updates     three updates of every architecture with every loss, without synchronisation with the GPU
    scaling     fp16 with loss scaling: gradients, and an update that overflows
    memory      an update that does not fit into GPU memory, made in parts, against the whole one (GPU only)
    compile     updates in every way of compute.fast_path, such as compiled and as CUDA graphs (GPU only)
    resume      a run that is killed and continued against an uninterrupted one
    batches     translations at batch sizes 1, 7 and 64
    hypotheses  translations in fp32 against the CPU's (GPU only)
    processes   gradients of two processes against those of one
    corpus      training on the shipped corpus up to a BLEU score
    ceilings    rates of large matrix products and copies
    training_speed  tokens per second, memory, and time by kind of kernel, for each model size
    parallel_speed  tokens per second of data-parallel training, on one and several GPUs (CPU: in two processes)
    decoding_speed  sentences per second of beam search

    stages   stages to run; []: all
    output   folder for gpu_check.json, gpu_check.md and the logs of the stages
    corpus   folder of the shipped corpus
    minutes  training time on the shipped corpus
    threads  CPU threads; 0: one, but PyTorch's default in the stage corpus
    seed     seed of weights and data
    """

    stages: list[StageName] = field(default_factory=list)
    device: Device = Device.auto
    output: str = "runs/gpu_check"
    corpus: str = "data/en-de"
    minutes: float = 5.0
    threads: int = 0
    seed: int = 1

    def check(self) -> None:
        """Raise UserError for values out of range, before any stage runs."""
        if not self.output:
            raise UserError("output is empty: name a folder for the results")
        require_between("minutes", self.minutes, 0.1, 1000)
        require_threads("threads", self.threads)
        require_between("seed", self.seed, 0, 2**32 - 1)


class Verdict(StrEnum):
    passed = "passed"
    failed = "failed"
    skipped = "skipped"


class Skipped(Exception):  # noqa: N818 - not an error
    """Raised by a stage that cannot check anything on this machine; the message is the reason."""


@dataclass(frozen=True)
class Figure:
    """The largest of several errors of one kind, relative to their tolerances.

    case   input of the largest error
    count  number of comparisons
    """

    value: float
    tolerance: float
    case: str
    count: int = 1

    @property
    def share(self) -> float:
        """Error divided by its tolerance; infinite for NaN, and for any error if the tolerance is 0."""
        if not math.isfinite(self.value) or (self.value and not self.tolerance):
            return math.inf
        return self.value / self.tolerance if self.tolerance else 0.0

    @property
    def is_good(self) -> bool:
        return self.share <= 1


@dataclass
class Result:
    """Verdict of a stage, with its measurements and failures.

    findings   failures, one line each
    reason     why the stage was skipped
    facts      values that have no tolerance
    table      measurements: rows with the same columns
    unchecked  parts that this machine cannot check, with the reason
    """

    name: StageName
    verdict: Verdict = Verdict.passed
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)
    reason: str = ""
    figures: dict[str, Figure] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    table: list[dict[str, str]] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """Input of a stage, and recorder of its results.

    num_gpus  number of GPUs that PyTorch can use
    folder    temporary folder of the stage
    """

    config: GpuCheckConfig
    device: torch.device
    can: Capabilities
    num_gpus: int
    folder: Path
    result: Result

    def compare(self, name: str, error: float, tolerance: float, *, case: str = "") -> None:
        """Compare an error with its tolerance; the stage fails if it is larger or NaN.

        name  kind of error; the largest of each kind is reported
        """
        before = self.result.figures.get(name)
        figure = Figure(error, tolerance, case, count=1 if before is None else before.count + 1)
        if not figure.is_good:
            self.result.findings.append(f"{name}{case and f' ({case})'}: {error:.3g}, at most {tolerance:.3g} expected")
        largest = figure if before is None or figure.share > before.share else before
        self.result.figures[name] = replace(largest, count=figure.count)

    def require(self, condition: bool, finding: str) -> None:
        """Fail the stage, which continues, unless the condition holds."""
        if not condition:
            self.result.findings.append(finding)

    def note(self, name: str, value: object) -> None:
        """Record a fact."""
        self.result.facts[name] = str(value)

    def leave_out(self, part: str, reason: str) -> None:
        """Record a part of the stage that this machine cannot check."""
        self.result.unchecked.append(f"{part}: {reason}")


def relative_error(found: Tensor, exact: Tensor) -> float:
    """‖found - exact‖ / ‖exact‖ over all elements, in double precision; 0 where both are zero."""
    found, exact = (x.detach().double().cpu() for x in (found, exact))
    difference, size = float((found - exact).norm()), float(exact.norm())
    return difference / size if size else difference and math.inf
