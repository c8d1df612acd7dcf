"""Virtual environments of the peers, made on first use with pinned versions, and the environment of each process."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.protocol import AbsentError

SCRIPTS = Path(__file__).parent.parent
PEERS = {
    "huggingface": ["torch", "sentencepiece", "transformers==5.23.0", "accelerate==1.15.0"],
    "eole": ["torch", "aiohttp==3.14.5", "eole==0.6.4"],  # aiohttp: eole imports it without requiring it
    "ctranslate2": ["sentencepiece", "ctranslate2"],
}
DEFAULT_FOLDER = Path.home() / ".cache" / "translate-benchmark"

# what our own program sets for itself, given to the peers so that all have the same
MEMORY_AND_KERNELS = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "2147483647",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384",
}


def process_environment(*, threads: int, ours: bool) -> dict[str, str]:
    """Environment variables of a worker. Our own program sets memory and kernels itself, as it does for every user."""
    inherited = {key: value for key, value in os.environ.items() if key not in MEMORY_AND_KERNELS}
    path = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
    common = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return inherited | common | offline | ({} if ours else MEMORY_AND_KERNELS)


def python_of(peer: str, folder: Path) -> str:
    """The interpreter of a peer's environment, which is made if necessary. Raises AbsentError if that fails."""
    environment, log = folder / peer, folder / f"{peer}.log"
    python, installed, wanted = environment / "bin" / "python", environment / "requirements", requirements_of(peer)
    if not installed.exists() or installed.read_text().split() != wanted:
        print(f"making the environment of {peer} in {environment}: {', '.join(wanted)}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        with log.open("wb") as stream:
            for command in ([sys.executable, "-m", "venv", "--clear", str(environment)], install):
                if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream).returncode:
                    raise AbsentError(f"not installed: {last_line(log)} (see {log})")
        installed.write_text("\n".join(wanted))
    return str(python)


def requirements_of(peer: str) -> list[str]:
    """Pinned requirements; those without a version get that of constraints.txt, so that all share one PyTorch."""
    pinned = (SCRIPTS.parent / "constraints.txt").read_text().splitlines()
    return [next((line for line in pinned if line.startswith(f"{name}==")), name) for name in PEERS[peer]]


def last_line(log: Path) -> str:
    """The last line of a log that is not blank: usually the error."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no error message")
