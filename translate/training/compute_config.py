"""Settings of device, precision, and way to compute updates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from translate.device import Device, Precision, require_threads
from translate.distributed import TIMEOUT
from translate.errors import UserError
from translate.training.parallel import check_training_precision

_LONGEST_TIMEOUT = 86_400  # a day


class FastPath(StrEnum):
    """Way to compute updates (training/update_ways.py): one for the whole run, or chosen by trial."""

    auto = "auto"
    eager = "eager"
    compiled = "compiled"
    graphed = "graphed"
    compiled_graphed = "compiled_graphed"


@dataclass(kw_only=True)
class ComputeConfig:
    """Where and how a model is trained.

    precision  auto is bf16 on GPUs and CPUs with matrix units for it, fp16 on GPUs with units for that alone, fp32
               elsewhere; weights and sums stay in fp32 in any case
    fast_path  eager: operation by operation; compiled: torch.compile fuses the model; graphed: whole updates are CUDA
               graphs; compiled_graphed: both. auto: on a GPU the fastest of them that computes the same, by trial; on
               a CPU eager
    compile    older name of fast_path=compiled
    fp8        fp8 matmuls of wide linear layers (training/fp8.py), on GPUs that have them; all else stays in bf16
    threads    of the CPU; 0: as many as PyTorch takes by itself
    timeout    seconds that one of several processes waits for another, except while data is prepared
    """

    device: Device = Device.auto
    precision: Precision = Precision.auto
    fast_path: FastPath = FastPath.auto
    compile: bool = False
    fp8: bool = False
    threads: int = 0
    timeout: float = TIMEOUT

    @property
    def path(self) -> FastPath:
        """The way to compute updates that is asked for, by either name."""
        return FastPath.compiled if self.compile else self.fast_path

    def check(self) -> None:
        check_training_precision(self.precision)
        if self.compile and self.fast_path not in (FastPath.auto, FastPath.compiled):
            raise UserError(
                f"compute.compile=true means compute.fast_path=compiled, not {self.fast_path}: leave one of them out"
            )
        require_threads("compute.threads", self.threads)
        if not 1 <= self.timeout <= _LONGEST_TIMEOUT:
            raise UserError(f"compute.timeout ({self.timeout:g}) must lie between 1 and {_LONGEST_TIMEOUT:,} seconds")
