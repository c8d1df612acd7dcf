"""Validation: loss on the validation set, and scores of its translations by the decoder that users run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from translate.batch import Batch
from translate.checkpoint import Weights, set_weights, weights_of
from translate.data.batching import BatchConfig, plan_padded
from translate.data.collate import pad_batch
from translate.data.prepare import ParallelText
from translate.decoding.translator import Splits, Translation, Translator
from translate.distributed import World
from translate.errors import DivergedError, UserError
from translate.evaluation.evaluate import Evaluation, evaluate_corpus
from translate.evaluation.metrics import Metric
from translate.losses import label_smoothed_cross_entropy
from translate.losses.attention import uncovered
from translate.tokenizer import Tokenizer
from translate.training.parallel import ParallelModel


@dataclass(frozen=True, eq=False)
class Validation:
    """One validation: means per target token in nats, and the decoded validation set.

    loss is label-smoothed, cross_entropy is not; perplexity is its exponential. uncovered is the share of source tokens
    that their reference translation hardly attends to; None: the model has no attention. evaluation is None where the
    model's numbers are not finite, so that it cannot translate.
    """

    loss: float
    cross_entropy: float
    uncovered: float | None
    evaluation: Evaluation | None

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.cross_entropy, 700))

    def summary(self) -> str:
        losses = f"loss {self.loss:.3f}  perplexity {self.perplexity:.2f}"
        if self.evaluation is None:
            return f"{losses}  not translated: the model's scores are not finite"
        scores = "  ".join(f"{score.name} {score.value:.2f}" for score in self.evaluation.scores.values())
        return "  ".join(filter(None, [scores, losses, self.evaluation.empty_note]))

    def metric(self, name: str) -> float:
        """Value of a metric, or of "loss"; NaN where the model cannot translate."""
        if name == "loss":
            return self.loss
        return math.nan if self.evaluation is None else self.evaluation.scores[Metric(name)].value


@dataclass(frozen=True, eq=False)
class Validator:
    """The validation set, encoded once, with what is needed to decode it.

    notes  for the user about its scores, a line each
    """

    text: ParallelText
    batches: list[Batch]
    translator: Translator
    metrics: list[Metric]
    tokenize: str
    smoothing: float
    world: World
    notes: list[str] = field(default_factory=list)

    def run(self, model: ParallelModel, *, progress: Callable[[float], None] | None = None) -> Validation:
        loss, plain, uncovered = self._losses(model)
        evaluation = self._evaluate(progress) if math.isfinite(loss) else None
        return Validation(loss, plain, uncovered, evaluation)

    def _evaluate(self, progress: Callable[[float], None] | None) -> Evaluation | None:
        translator = ShardedTranslator(self.translator, self.world)
        try:
            return evaluate_corpus(
                translator, self.text, metrics=self.metrics, tokenize=self.tokenize, progress=progress
            )
        except DivergedError:
            return None

    @torch.no_grad()
    def _losses(self, model: ParallelModel) -> tuple[float, float, float | None]:
        sums, has_attention = torch.zeros(5, dtype=torch.float64), True
        model.module.eval()
        for batch in self.batches[self.world.rank :: self.world.size]:
            with model.autocast():
                moved = batch.to(model.device)
                output = model.module(moved, return_attention=True)
                losses = label_smoothed_cross_entropy(
                    output.hidden, output.weight, moved.labels, smoothing=self.smoothing
                )
            has_attention = output.attention is not None
            missed = float(uncovered(moved, output)) if has_attention else 0.0
            counts = batch.num_target_tokens, missed, batch.num_source_tokens
            sums += torch.tensor([*(float(loss) for loss in losses), *counts], dtype=torch.float64)
        model.module.train()
        loss, plain, target_tokens, missed, source_tokens = self.world.sum(sums).tolist()
        return loss / target_tokens, plain / target_tokens, missed / source_tokens if has_attention else None


@dataclass(frozen=True)
class ShardedTranslator:
    """A translator on every process, each of which takes its share of the lines."""

    translator: Translator
    world: World

    def translate(self, lines: Sequence[str], *, progress: Callable[[float], None] | None = None) -> list[Translation]:
        """All translations, in order, on every process; an error of one of them is raised on each."""
        rank, size = self.world.rank, self.world.size
        own: list[Translation] | UserError
        try:
            own = self.translator.translate(lines[rank::size], progress=progress)
        except UserError as error:
            own = error
        shares = self.world.gather(own)
        for share in shares:
            if isinstance(share, UserError):
                raise share
        return [shares[number % size][number // size] for number in range(len(lines))]

    def describe(self, splits: Splits) -> str:
        return self.translator.describe(splits)


def encode_validation(text: ParallelText, tokenizer: Tokenizer, *, tokens: int, max_length: int) -> list[Batch]:
    """Padded batches of the pairs that the model can read whole and that have two sides, of the first reference.

    Raises UserError where there are none.
    """
    source = [np.array(ids) for ids in tokenizer.encode_source(text.source)]
    target = [np.array(ids) for ids in tokenizer.encode_target(text.target)]
    fitting = [
        number
        for number, pair in enumerate(zip(source, target, strict=True))
        if all(0 < len(ids) <= max_length for ids in pair)
    ]
    if not fitting:
        raise UserError(
            f"data.{text.name}: none of its {len(text):,} pairs has two sides of 1 to {max_length} tokens "
            "(model.max_length), so there is no loss to validate with"
        )
    source, target = [source[number] for number in fitting], [target[number] for number in fitting]
    config = BatchConfig(tokens=tokens)
    plan = plan_padded(
        np.array([len(ids) for ids in source], dtype=np.int32),
        np.array([len(ids) for ids in target], dtype=np.int32),
        np.ones(len(fitting), dtype=np.float32),
        config=config,
        seed=0,
        epoch=0,
    )
    return [
        pad_batch([source[i] for i in planned.pairs], [target[i] for i in planned.pairs], config.length_multiple)
        for planned in plan
    ]


@contextmanager
def swapped_weights(model: ParallelModel, weights: Weights | None) -> Iterator[None]:
    """Load these weights into the model, and its own again on exit; None: keep its own."""
    if weights is None:
        yield
        return
    own = {name: weight.clone() for name, weight in weights_of(model.module).items()}
    set_weights(model.module, weights)
    try:
        yield
    finally:
        set_weights(model.module, own)
