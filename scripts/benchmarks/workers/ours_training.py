"""Our own updates, as translate.train makes them: its loader, its model, its optimiser."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.preparation import prepared
from benchmarks.protocol import Channel, Message, version_of
from benchmarks.reference import reference_paths
from benchmarks.work import TrainingWork
from translate.checkpoint import vocabularies_of
from translate.data.augmentation import PairEncoder
from translate.data.batching import BatchConfig
from translate.data.loader import Update, UpdateStream
from translate.device import Device, Precision, capabilities, choose_device, tune_process
from translate.distributed import World
from translate.models import TransformerConfig, build_model
from translate.training import step
from translate.training.config import LossConfig, TrainConfig
from translate.training.optimizer import OptimizerConfig, make_optimizer
from translate.training.parallel import ParallelModel, decide_training, parallelize

_WARMUP_UPDATES = 3


@dataclass(eq=False)
class Trainer:
    """What the run's loop holds; losses are those of all updates, label smoothing included."""

    work: TrainingWork
    model: ParallelModel
    optimizer: torch.optim.Optimizer
    updates: Iterator[Update]
    launched: step.PendingUpdate | None = None
    losses: list[float] = field(default_factory=list)

    @classmethod
    def build(cls, work: TrainingWork, data: dict[str, str]) -> Trainer:
        tune_process(work.threads)
        corpus = prepared(data, vocab_size=work.vocab_size)
        torch.manual_seed(work.seed)
        model = build_model(transformer_of(work), vocabularies_of(corpus.tokenizer))
        device = choose_device(Device(work.device))
        decision = decide_training(device, capabilities(device), precision=Precision(work.precision), head_width=0)
        trained = parallelize(model, World(), decision)
        stream = UpdateStream(
            corpus.train,
            PairEncoder(corpus.train, corpus.tokenizer),
            BatchConfig(tokens=work.tokens),
            seed=work.seed,
            world=World(),
            packed=work.device == "cuda" and work.precision == "bf16" and work.attention_dropout == 0,
        )
        optimizer = make_optimizer(trained.module, OptimizerConfig(learning_rate=work.learning_rate))
        return cls(work, trained, optimizer, iter(partial(stream.next, 0.0), None))

    def update(self) -> int:
        """Its real target tokens, EOS counted; a result is looked at when the next one is under way, as in a run."""
        launched = step.train_step(
            self.model,
            self.optimizer,
            next(self.updates).batches,
            TrainConfig(
                loss=LossConfig(label_smoothing=self.work.label_smoothing),
                optimizer=OptimizerConfig(clip_norm=self.work.clip_norm),
            ),
            World(),
            step=1,
        )
        self.settle()
        self.launched = launched
        return launched.target_tokens

    def settle(self) -> None:
        """Wait for the last update."""
        if self.launched is not None:
            self.losses.append(self.launched.result().loss)
            self.launched = None

    def answer(self, request: Message) -> Message:
        if "profile" in request:
            return shares_of_time(self, updates=request["profile"])
        if "losses" in request:
            return {"losses": self.losses}
        tokens = updates = 0
        started = time.perf_counter()
        while time.perf_counter() - started < request["run"]:
            tokens += self.update()
            updates += 1
        self.settle()
        return {"tokens": tokens, "updates": updates, "seconds": time.perf_counter() - started}


def transformer_of(work: TrainingWork) -> TransformerConfig:
    return TransformerConfig(
        d_model=work.d_model,
        ffn_dim=work.ffn_dim,
        num_heads=work.num_heads,
        encoder_layers=work.layers,
        decoder_layers=work.layers,
        dropout=work.dropout,
        attention_dropout=work.attention_dropout,
        activation_dropout=work.dropout,
    )


def shares_of_time(trainer: Trainer, *, updates: int) -> Message:
    """The share of each part in some updates, timed from outside; rest is what none of the parts accounts for."""
    clock = Clock(trainer.model.device)
    plain = trainer.model, trainer.updates
    trainer.model = replace(trainer.model, forward=clock.timed("forward", trainer.model.forward))
    trainer.updates = iter(clock.timed("data", trainer.updates.__next__), None)
    parts: list[tuple[str, Any, str]] = [
        ("loss", step, "label_smoothed_cross_entropy"),
        ("backward", torch.Tensor, "backward"),
        ("optimiser", torch.nn.utils, "clip_grad_norm_"),
        ("optimiser", trainer.optimizer, "step"),
        ("optimiser", trainer.optimizer, "zero_grad"),
    ]
    with ExitStack() as patches:
        for part, owner, name in parts:
            patches.enter_context(patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        started = time.perf_counter()
        for _ in range(updates):
            trainer.update()
        trainer.settle()
        total = time.perf_counter() - started
    trainer.model, trainer.updates = plain
    shares = {part: seconds / total for part, seconds in clock.seconds.items()}
    return {"shares": {**shares, "rest": 1 - sum(shares.values())}}


class Clock:
    """Seconds by part, waiting for a GPU before each look."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            started = self._now()
            result = function(*arguments, **keywords)
            self.seconds[part] += self._now() - started
            return result

        return timed

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def main() -> None:
    channel = Channel()
    data = channel.settings.pop("data")
    paths = reference_paths() if channel.settings.pop("reference", False) else nullcontext()
    trainer = Trainer.build(TrainingWork(**channel.settings), data)
    with paths:
        for _ in range(_WARMUP_UPDATES):
            trainer.update()
        channel.ready(versions=version_of("translate-seq2seq", "torch"))
        channel.serve(trainer.answer)


if __name__ == "__main__":
    main()
