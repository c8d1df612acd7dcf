"""Eole's own command `train`, over the same tokens, held up between slices where its trainer leaves room for it.

Its vocabulary is the numbers of ours. Batches are made in its main process, so that it does nothing between slices.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from eole.bin.main import main as command
from eole.trainer import Trainer

from benchmarks.corpus import Corpus
from benchmarks.protocol import Channel, Slices, version_of
from benchmarks.work import BOS, EOS, PAD, UNK, TrainingWork

_WARMUP_UPDATES = 3
_ENDLESS = 10**9
_SPECIAL = {PAD: "<blank>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}


def write_text(corpus: Corpus, vocab_size: int, folder: Path) -> None:
    """Token numbers as words, and the vocabulary in the order of ours."""
    for name, side in (("source", corpus.source), ("target", corpus.target)):
        lines = (" ".join(map(str, ids)) + "\n" for ids in side)
        (folder / name).write_text("".join(lines))
    (folder / "vocabulary").write_text("".join(f"{_SPECIAL.get(token, token)}\n" for token in range(vocab_size)))


def configuration(work: TrainingWork, folder: Path) -> dict[str, Any]:
    return {
        "data": {"corpus": {"path_src": str(folder / "source"), "path_tgt": str(folder / "target")}},
        "src_vocab": str(folder / "vocabulary"),
        "tgt_vocab": str(folder / "vocabulary"),
        "share_vocab": True,
        "vocab_size_multiple": 1,
        "seed": work.seed,
        "report_every": 100,
        "model": {
            "architecture": "transformer",
            "layers": work.layers,
            "heads": work.num_heads,
            "hidden_size": work.d_model,
            "transformer_ff": work.ffn_dim,
            "mlp_activation_fn": "relu",
            "layer_norm": "standard",
            "add_qkvbias": True,
            "add_ffnbias": True,
            "generator_bias": False,
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "embeddings": {"word_vec_size": work.d_model, "position_encoding_type": "SinusoidalInterleaved"},
        },
        "training": {
            "model_path": str(folder / "model"),
            "world_size": int(work.device == "cuda"),
            "gpu_ranks": [0] if work.device == "cuda" else [],
            "batch_type": "tokens",
            "batch_size": work.tokens,
            "normalization": "tokens",
            "num_workers": 0,
            "compute_dtype": work.precision,
            "optim": "adamw",
            "learning_rate": work.learning_rate,
            "decay_method": "none",
            "adam_beta2": 0.98,
            "adam_eps": 1e-9,
            "max_grad_norm": work.clip_norm,
            "label_smoothing": work.label_smoothing,
            "dropout": [work.dropout],
            "attention_dropout": [work.attention_dropout],
            "param_init_method": "xavier_uniform",
            "train_steps": _ENDLESS,
            "valid_steps": _ENDLESS,
            "save_checkpoint_steps": _ENDLESS,
        },
    }


def hold_up(slices: Slices) -> None:
    """Report every update: what follows BOS of each row is what we count."""
    original = Trainer._train_step

    def train_step(self: Any, batches: list[dict[str, Any]], *arguments: Any, **keywords: Any) -> None:
        original(self, batches, *arguments, **keywords)
        if not slices.after_update(sum(int((batch["tgt"][:, 1:] != PAD).sum()) for batch in batches)):
            sys.exit()

    Trainer._train_step = train_step


def main() -> None:
    channel = Channel()
    work = TrainingWork(**channel.settings)
    torch.set_num_threads(work.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_text(Corpus.load(work.corpus), work.vocab_size, folder)
        (folder / "eole.yaml").write_text(yaml.safe_dump(configuration(work, folder)))
        hold_up(Slices(channel, warmup=_WARMUP_UPDATES, versions=version_of("eole", "torch")))
        sys.argv = ["eole", "train", "--config", str(folder / "eole.yaml")]
        command()


if __name__ == "__main__":
    main()
