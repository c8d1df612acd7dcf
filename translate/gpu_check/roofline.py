"""Predicted time of work on a GPU: a roofline (Williams et al. 2009) with a cost for each launch.

The time of a kernel is the largest of three: its products at the rate of the matrix units, its bytes at the bandwidth
of the memory, and a minimum. The host launches kernels while the device computes earlier ones: an update takes the
longer of both times. The weakest assumption is the host's time per launch, which depends on its processor and its load:
the busy host of an H200 needed 56 µs (63 ms for 1,126 launches).
"""

from __future__ import annotations

from dataclasses import dataclass

from translate.gpu_check.launches import Kernel, Work


@dataclass(frozen=True)
class Gpu:
    """Rates of a GPU that programs reach.

    products  floating-point operations per second, bf16 with fp32 sums
    memory    bytes per second
    kernel    seconds of the shortest kernel
    launch    seconds of the host per launch
    """

    name: str
    products: float
    memory: float
    kernel: float = 2.5e-6
    launch: float = 10e-6


# two thirds of 989 TFLOP/s and 80 % of 3.35 TB/s, which large products and copies reach
H100 = Gpu("H100", products=660e12, memory=2.7e12)


@dataclass(frozen=True)
class Prediction:
    """Seconds of device and host, which work concurrently."""

    device: float
    host: float

    @property
    def seconds(self) -> float:
        return max(self.device, self.host)


def predict(work: Work, gpu: Gpu = H100, *, launch: float | None = None) -> Prediction:
    """Predicted time of some work; launch: seconds of the host per launch, instead of gpu.launch."""
    device = sum(_seconds(kernel, gpu) for kernel in work.kernels)
    return Prediction(device, work.launches * (gpu.launch if launch is None else launch))


def _seconds(kernel: Kernel, gpu: Gpu) -> float:
    return max(kernel.flops / gpu.products, kernel.size / gpu.memory, kernel.launches * gpu.kernel)
