"""python -m translate.merge: merge a LoRA into its base model, as a new model directory."""

from dataclasses import dataclass
from pathlib import Path

import torch

from translate.checkpoint import load_model, save_merged
from translate.config import run_command


@dataclass(kw_only=True)
class MergeConfig:
    """Merge the weights trained with adapt=lora into the base model, so that every engine can run it.

    Example: python -m translate.merge model=runs/base adapter=runs/adapted output=runs/merged

    model, adapter  folders of runs, or model directories
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
