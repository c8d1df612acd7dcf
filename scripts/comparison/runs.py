"""The runs that are compared, and how one is made: with the product's own command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BASELINE = "transformer"


@dataclass(frozen=True)
class Contestant:
    """title is what a reader knows it by; options are what makes it differ from the others."""

    title: str
    options: tuple[str, ...] = ()


MODELS = {
    BASELINE: Contestant("Transformer"),
    "single_head": Contestant("Transformer, one head", ("model.num_heads=1",)),
    "no_positions": Contestant("Transformer without positions", ("model.positions=none",)),
    "sigmoid": Contestant("Transformer, sigmoid attention", ("model.attention=sigmoid",)),
    "lstm_bahdanau": Contestant("LSTM, Bahdanau attention", ("model=lstm_attention",)),
    "lstm_luong_dot": Contestant("LSTM, Luong dot", ("model=lstm_attention", "model.attention=luong_dot")),
    "lstm_luong_general": Contestant("LSTM, Luong general", ("model=lstm_attention", "model.attention=luong_general")),
    "lstm_multi_head": Contestant("LSTM, four additive heads", ("model=lstm_attention", "model.attention=multi_head")),
    "lstm_plain": Contestant("LSTM without attention", ("model=lstm_plain",)),
    "convolutional": Contestant("convolutional", ("model=convolutional",)),
}
LOSSES = {
    BASELINE: MODELS[BASELINE],
    "self_attention_loss": Contestant("self_attention_loss", ("auxiliary=[self_attention_loss]",)),
    "self_attention_loss_keys": Contestant(
        "self_attention_loss over keys", ("auxiliary=[self_attention_loss]", "auxiliary.self_attention_loss.over=keys")
    ),
    "sigmoid": MODELS["sigmoid"],
    "self_attention_loss_sigmoid": Contestant(
        "self_attention_loss over keys, sigmoid attention",
        ("model.attention=sigmoid", "auxiliary=[self_attention_loss]", "auxiliary.self_attention_loss.over=keys"),
    ),
    "attention_weighted": Contestant(
        "attention_weighted_cross_entropy", ("auxiliary=[attention_weighted_cross_entropy]",)
    ),
    "attention_entropy": Contestant("attention_entropy", ("auxiliary=[attention_entropy]",)),
    "guided_attention": Contestant("guided_attention", ("auxiliary=[guided_attention]",)),
    "r_drop": Contestant("r_drop", ("auxiliary=[r_drop]",)),
    "sim_cut": Contestant("sim_cut", ("auxiliary=[sim_cut]",)),
    "adversarial": Contestant("adversarial", ("auxiliary=[adversarial]",)),
}


def train(contestant: Contestant, folder: Path, common: Sequence[str]) -> None:
    """Train into a folder, or continue there; a run that is over stays as it is."""
    if (folder / "result.json").exists():
        return
    command = [sys.executable, "-m", "translate.train", *common, *contestant.options, f"run.dir={folder}"]
    print(" ".join(command[1:]), flush=True)
    subprocess.run(command, check=True)
