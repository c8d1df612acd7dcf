"""Settings of the whole process that make the CPU fast, so that nobody has to put them into the environment."""

from __future__ import annotations

import ctypes
import os

import torch


def tune_process(threads: int) -> None:
    """Set up memory, kernels and threads (0: as many as PyTorch takes by itself); before any work is done.

    The C allocator keeps large blocks instead of returning them to the system after every tensor (page faults
    cost several times the work on a CPU), and oneDNN keeps the kernels of every batch shape it has met.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
    _keep_memory()
    if threads:
        torch.set_num_threads(threads)


def _keep_memory() -> None:
    """glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD; other C libraries lack mallopt and are left alone."""
    mmap_threshold, trim_threshold, largest = -3, -1, 2**31 - 1
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys():
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, largest)
