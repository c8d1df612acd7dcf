"""Eole's own command `train` over the same tokens, paused between slices in its trainer.

Its vocabulary is the numbers of ours. Batches are made in its main process, so that it does nothing between slices.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from eole.bin.main import main
from eole.trainer import Trainer

from benchmarks.protocol import Channel, Message, Slices, run_worker
from benchmarks.work import BOS, EOS, PAD, UNK, Corpus, TrainingWork, filled_in

_SPECIAL = {PAD: "<blank>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}


def train(settings: Message, channel: Channel) -> None:
    work = TrainingWork(**settings["work"])
    torch.set_num_threads(work.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_text(Corpus.load(work.corpus), work.vocab_size, folder)
        gpus = [0] if work.device == "cuda" else []
        values = {"folder": folder, "world_size": len(gpus), "gpu_ranks": gpus}
        (folder / "eole.yaml").write_text(filled_in(__file__, work, **values))
        report_updates(Slices(channel, "eole", "torch"))
        sys.argv = ["eole", "train", "--config", str(folder / "eole.yaml")]
        main()


def write_text(corpus: Corpus, vocab_size: int, folder: Path) -> None:
    """Token numbers as words, and the vocabulary in the order of ours."""
    for name, side in (("source", corpus.source), ("target", corpus.target)):
        (folder / name).write_text("".join(" ".join(map(str, ids)) + "\n" for ids in side))
    (folder / "vocabulary").write_text("".join(f"{_SPECIAL.get(token, token)}\n" for token in range(vocab_size)))


def report_updates(slices: Slices) -> None:
    """Count the tokens after BOS of each row, as for the other systems; end the process after the last slice."""
    original = Trainer._train_step

    def train_step(self: Any, batches: list[dict[str, Any]], *arguments: Any, **keywords: Any) -> None:
        original(self, batches, *arguments, **keywords)
        if not slices.after_update(sum(int((batch["tgt"][:, 1:] != PAD).sum()) for batch in batches)):
            sys.exit()

    Trainer._train_step = train_step


if __name__ == "__main__":
    run_worker(train)
