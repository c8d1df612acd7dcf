"""Virtual environments of the peers, made on first use with pinned versions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import REPOSITORY
from benchmarks.protocol import AbsentError, last_words

PEERS = {
    "huggingface": ["torch", "sentencepiece", "transformers==5.23.0", "accelerate==1.15.0"],
    "eole": ["torch", "aiohttp==3.14.5", "eole==0.6.4"],  # aiohttp: it imports it without asking for it
    "ctranslate2": ["sentencepiece", "ctranslate2"],
}
DEFAULT_FOLDER = Path.home() / ".cache" / "translate-benchmark"


def python_of(peer: str, folder: Path) -> str:
    """The interpreter of a peer's environment, which is made if need be. Raises AbsentError if that does not work."""
    environment, requirements = folder / peer, requirements_of(peer)
    python, marker = environment / "bin" / "python", environment / "requirements.json"
    if marker.exists() and json.loads(marker.read_text()) == requirements and python.exists():
        return str(python)
    print(f"making the environment of {peer} in {environment}: {', '.join(requirements)}", flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    environment.parent.mkdir(parents=True, exist_ok=True)
    log = folder / f"{peer}.log"
    _run([sys.executable, "-m", "venv", str(environment)], log)
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], log)
    marker.write_text(json.dumps(requirements))
    return str(python)


def requirements_of(peer: str) -> list[str]:
    return [_pinned(requirement) for requirement in PEERS[peer]]


def _pinned(requirement: str) -> str:
    """A bare name gets the version that constraints.txt names, so that all systems share one PyTorch."""
    if "==" in requirement:
        return requirement
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return next((line for line in lines if line.startswith(f"{requirement}==")), requirement)


def _run(command: list[str], log: Path) -> None:
    with log.open("wb") as stream:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream).returncode
    if status:
        raise AbsentError(f"not installed: {last_words(log)} (see {log})")
