"""What the work ran on, and in which process environment."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

REPOSITORY = Path(__file__).parent.parent.parent

# what our own program sets for itself, given to the peers so that all have the same
MEMORY_AND_KERNELS = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "2147483647",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384",
}


def process_environment(*, threads: int, ours: bool) -> dict[str, str]:
    """Our own workers are left to set up memory and kernels by themselves, as they do for every user."""
    inherited = {key: value for key, value in os.environ.items() if key not in MEMORY_AND_KERNELS}
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**inherited, **offline, "OMP_NUM_THREADS": str(threads)} | ({} if ours else MEMORY_AND_KERNELS)


def describe_machine(*, threads: int) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": threads,
        "matrix extensions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
    }
    if torch.cuda.is_available():
        facts["GPU"] = torch.cuda.get_device_name()
    return facts


def command_line() -> str:
    return " ".join(["python", *(os.path.relpath(part) if part == sys.argv[0] else part for part in sys.argv)])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if git("status", "--short") else "")
