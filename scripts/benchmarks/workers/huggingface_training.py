"""Hugging Face: the Marian architecture of the same size, trained by Seq2SeqTrainer, batches grouped by length.

Its batches are so many sentences, not so many tokens: as many as hold about the work's tokens on average.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor

from benchmarks.corpus import NO_TARGET, Corpus, plain_batch
from benchmarks.protocol import Channel, Slices, version_of
from benchmarks.work import BOS, EOS, PAD, TrainingWork

_WARMUP_UPDATES = 3
_ENDLESS = 10**9


class Pairs(torch.utils.data.Dataset[dict[str, Any]]):
    """The numbers of the pairs; their source ids are there for the sampler, which looks at lengths."""

    def __init__(self, corpus: Corpus):
        self.corpus = corpus

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, pair: int) -> dict[str, Any]:
        return {"input_ids": self.corpus.source[pair], "pair": pair}

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        batch = plain_batch(self.corpus, np.array([item["pair"] for item in items]))
        source = torch.from_numpy(batch.source)
        return {
            "input_ids": source,
            "attention_mask": (source != PAD).long(),
            "decoder_input_ids": torch.from_numpy(batch.target),
            "labels": torch.from_numpy(batch.labels),
        }


class CountingTrainer(transformers.Seq2SeqTrainer):  # type: ignore[misc, unused-ignore]
    target_tokens = 0

    def training_step(self, model: Any, inputs: dict[str, Tensor], *arguments: Any, **keywords: Any) -> Tensor:
        self.target_tokens = int((inputs["labels"] != NO_TARGET).sum())
        loss: Tensor = super().training_step(model, inputs, *arguments, **keywords)
        return loss


class HeldUp(transformers.TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Waits between the driver's slices."""

    def __init__(self, slices: Slices):
        self.slices = slices
        self.trainer: CountingTrainer | None = None

    def on_step_end(self, arguments: Any, state: Any, control: Any, **keywords: Any) -> Any:
        assert self.trainer is not None
        control.should_training_stop = not self.slices.after_update(self.trainer.target_tokens)
        return control


def make_model(work: TrainingWork) -> transformers.MarianMTModel:
    config = transformers.MarianConfig(
        vocab_size=work.vocab_size,
        d_model=work.d_model,
        encoder_layers=work.layers,
        decoder_layers=work.layers,
        encoder_ffn_dim=work.ffn_dim,
        decoder_ffn_dim=work.ffn_dim,
        encoder_attention_heads=work.num_heads,
        decoder_attention_heads=work.num_heads,
        activation_function="relu",
        dropout=work.dropout,
        attention_dropout=work.attention_dropout,
        activation_dropout=work.dropout,
        scale_embedding=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        forced_eos_token_id=None,
        decoder_start_token_id=BOS,
    )
    return transformers.MarianMTModel(config)


def training_arguments(work: TrainingWork, *, sentences: int, folder: str) -> transformers.Seq2SeqTrainingArguments:
    return transformers.Seq2SeqTrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=sentences,
        train_sampling_strategy="group_by_length",
        max_steps=_ENDLESS,
        learning_rate=work.learning_rate,
        adam_beta2=0.98,
        adam_epsilon=1e-9,
        max_grad_norm=work.clip_norm,
        label_smoothing_factor=work.label_smoothing,
        lr_scheduler_type="constant",
        bf16=work.precision == "bf16",
        use_cpu=work.device == "cpu",
        dataloader_pin_memory=work.device != "cpu",
        remove_unused_columns=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=work.seed,
    )


def main() -> None:
    channel = Channel()
    work = TrainingWork(**channel.settings)
    torch.set_num_threads(work.threads)
    torch.manual_seed(work.seed)
    corpus = Corpus.load(work.corpus)
    pairs = Pairs(corpus)
    sentences = max(1, work.tokens * len(corpus) // corpus.lengths().target)
    callback = HeldUp(Slices(channel, warmup=_WARMUP_UPDATES, versions=version_of("transformers", "torch")))
    with tempfile.TemporaryDirectory() as folder:
        trainer = CountingTrainer(
            model=make_model(work),
            args=training_arguments(work, sentences=sentences, folder=folder),
            train_dataset=pairs,
            data_collator=pairs.collate,
            callbacks=[callback],
        )
        callback.trainer = trainer
        trainer.train()


if __name__ == "__main__":
    main()
