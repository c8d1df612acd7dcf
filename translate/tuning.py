"""Settings of the whole process that make the CPU fast, so that nobody has to put them into the environment."""

from __future__ import annotations

import ctypes
import os


def tune_process(threads: int) -> None:
    """Set up memory, and PyTorch's kernels and threads (0: as many as it takes by itself); before any work is done.

    oneDNN keeps the kernels of every batch shape it has met.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
    keep_memory()
    if threads:
        import torch  # not before it is known that PyTorch is needed

        torch.set_num_threads(threads)


def available_threads() -> int:
    """As many as OMP_NUM_THREADS says, or one for every core that this process may use."""
    wished = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wished.isdigit() and int(wished):
        return int(wished)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_memory() -> None:
    """Let the C allocator keep large blocks instead of returning them to the system after every tensor.

    Page faults cost several times the work on a CPU. These are glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD; other C
    libraries lack mallopt and are left alone.
    """
    mmap_threshold, trim_threshold, largest = -3, -1, 2**31 - 1
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys():
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, largest)
