"""python -m translate.merge: a model with its LoRA merged into it, as a model directory of its own."""

from dataclasses import dataclass
from pathlib import Path

import torch

from translate.checkpoint import load_model, save_merged
from translate.config import run_command


@dataclass(kw_only=True)
class MergeConfig:
    """The merge command: what adapt=lora has trained becomes part of the model, which every engine then runs.

    model, adapter  a run's folder each, or model directories
    output          the new model directory
    """

    model: str = "???"
    adapter: str = "???"
    output: str = "???"


def merge(config: MergeConfig) -> None:
    save_merged(load_model(config.model, device=torch.device("cpu")), config.adapter, Path(config.output))
    print(f"model: {config.output}")


if __name__ == "__main__":
    run_command("merge", MergeConfig, merge)
