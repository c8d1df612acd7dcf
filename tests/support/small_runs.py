"""A run small enough for a test: a made-up language, digits reversed, learned in seconds."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

from translate.adaptation import ADAPTATIONS
from translate.config.command import compose, register_schemas, to_dataclass
from translate.device import Capabilities, Precision
from translate.losses import AUXILIARY_LOSSES, AuxiliaryLossConfig
from translate.models import ARCHITECTURES
from translate.training.config import LossConfig, TrainConfig
from translate.training.loggers import LOGGERS
from translate.training.optimizer import OptimizerConfig
from translate.training.parallel import decide_training

REPOSITORY = Path(__file__).parents[2]


def write_corpus(folder: Path, *, pairs: int = 600, seed: int = 0) -> Path:
    """train, valid and test files of numbers and the same numbers backwards."""
    source = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", pairs), ("valid", 30), ("test", 20)):
        lines = [" ".join(source.choice("0123456789") for _ in range(source.randint(2, 6))) for _ in range(count)]
        (folder / f"{split}.src").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (folder / f"{split}.tgt").write_text("".join(f"{line[::-1]}\n" for line in lines), encoding="utf-8")
    return folder


ON_CPU = decide_training(torch.device("cpu"), Capabilities(on_gpu=False), precision=Precision.fp32, head_width=0)


def update_config(*, smoothing: float = 0.1, clip_norm: float = 1.0, **auxiliary: AuxiliaryLossConfig) -> TrainConfig:
    """Settings of single updates; auxiliary: losses by name."""
    return TrainConfig(
        loss=LossConfig(label_smoothing=smoothing),
        optimizer=OptimizerConfig(clip_norm=clip_norm),
        auxiliary=auxiliary,
    )


def syllables() -> list[str]:
    """Lines of words for a tokenizer of some dozen pieces."""
    parts = ("ba", "dor", "ken", "li", "mu", "nas", "pi", "rel", "so", "tun")
    return [" ".join(first + second for second in parts) for first in parts]


def options(corpus: Path, run: Path, **changes: object) -> list[str]:
    """The command line of a small run; changes name options with __ for a dot, None leaves one out."""
    settings = {
        "recipe": "fixed",
        "data": "text_files",
        "data.cache": corpus / "cache",
        **{
            f"data.{split}.{side}": corpus / f"{split}.{end}"
            for split in ("train", "valid", "test")
            for side, end in (("source", "src"), ("target", "tgt"))
        },
        "data.cleaning.drop_copies": "false",
        "tokenizer.vocab_size": 22,
        "tokenizer.byte_fallback": "false",
        "model.d_model": 32,
        "model.ffn_dim": 64,
        "model.num_heads": 2,
        "model.encoder_layers": 1,
        "model.decoder_layers": 1,
        "batch.tokens": 256,
        "optimizer.learning_rate": 5e-3,
        "search": "greedy",
        "compute.threads": 1,
        "schedule.warmup_steps": 20,
        "validation.every": 60,
        "validation.attention_maps": 0,
        "run.log_every": 5,
        "run.save_every": 30,
        "run.max_steps": 120,
        "run.patience": 0,
        "run.dir": run,
    }
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in settings.items() if value is not None]


def command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"translate.{module}", *arguments]


def call(module: str, *arguments: str, stdin: bytes = b"", timeout: float = 300) -> subprocess.CompletedProcess[bytes]:
    """Run a command of the application in a process of its own; timeout in seconds."""
    return subprocess.run(
        command(module, *arguments),
        input=stdin,
        capture_output=True,
        cwd=REPOSITORY,
        env=environment(),
        timeout=timeout,
    )


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Begin a command, for a test that will disturb it."""
    return subprocess.Popen(
        command(module, *arguments),
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def composed(arguments: list[str]) -> TrainConfig:
    """The configuration that the train command makes of its arguments, for a run in this process."""
    register_train()
    settings = to_dataclass(compose("train", arguments), {})
    assert isinstance(settings, TrainConfig)
    return settings


@cache
def register_train() -> None:
    """Make the schemas of the train command known to Hydra."""
    choices = {"model": ARCHITECTURES, "adapt": ADAPTATIONS}
    register_schemas("train", TrainConfig, choices, {"auxiliary": AUXILIARY_LOSSES, "logger": LOGGERS})
