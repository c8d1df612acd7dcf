"""The ceiling: the fastest matrix product of several sizes, in the run's precision and with its threads."""

from __future__ import annotations

import time

import torch

from benchmarks.protocol import Channel, Message
from benchmarks.work import TrainingWork

_SIZES = ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 1024, 1024), (4096, 8000, 256))
_GPU_SIZES = ((4096, 4096, 4096), (8192, 8192, 8192))


def main() -> None:
    channel = Channel()
    work = TrainingWork(**channel.settings)
    torch.set_num_threads(work.threads)
    dtype = torch.bfloat16 if work.precision == "bf16" else torch.float32
    device = torch.device(work.device)
    sizes = _SIZES if device.type == "cpu" else _GPU_SIZES
    factors = [
        (torch.randn(m, k, device=device, dtype=dtype), torch.randn(k, n, device=device, dtype=dtype))
        for m, n, k in sizes
    ]
    for a, b in factors:
        a @ b
    channel.ready()

    def answer(request: Message) -> Message:
        return {"flops_per_second": max(_speed(a, b, seconds=request["run"] / len(factors)) for a, b in factors)}

    channel.serve(answer)


def _speed(a: torch.Tensor, b: torch.Tensor, *, seconds: float) -> float:
    """The best of several products, in FLOPs per second."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        a @ b
        if a.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * a.shape[0] * a.shape[1] * b.shape[1] / best


if __name__ == "__main__":
    main()
