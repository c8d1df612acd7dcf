"""Validation: loss on the validation set, and scores of its translations by the decoder that users run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from translate.batch import Batch, pad_batch
from translate.checkpoint import Weights, set_weights, weights_of
from translate.data.batching import BatchConfig, BatchPlan
from translate.data.corpora import ParallelText
from translate.data.prepare import Prepared
from translate.decoding.config import search_fields
from translate.decoding.native_engine import NativeEngine
from translate.decoding.translator import ShardedTranslator, Translator
from translate.device import Precision
from translate.distributed import World
from translate.errors import DivergedError, UserError
from translate.evaluation.evaluate import Evaluation, evaluate_corpus
from translate.evaluation.scores import MetricName
from translate.evaluation.tokenizers import TokenizerChoice, choose_tokenizer, reason_missing, tokenizer_of_language
from translate.explanation import Explanation, explain_pairs, uncovered
from translate.losses import label_smoothed_cross_entropy
from translate.models.seq2seq import evaluation_mode
from translate.signals import stop_signals
from translate.tags import tagging_of
from translate.tokenizer import Tokenizer
from translate.training.config import LOSS, TrainConfig
from translate.training.parallel import ParallelModel


@dataclass(frozen=True, eq=False)
class Validation:
    """One validation: means per target token in nats, and the decoded validation set.

    loss is label-smoothed, cross_entropy is not; perplexity is its exponential. uncovered is the share of source tokens
    that their reference translation hardly attends to; None: the model has no attention. evaluation is None where the
    model's numbers are not finite, so that it cannot translate. explanations are of a few of its translations.
    """

    loss: float
    cross_entropy: float
    uncovered: float | None
    evaluation: Evaluation | None
    explanations: list[Explanation] = field(default_factory=list)

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.cross_entropy, 700))  # exp(710) overflows

    def losses(self) -> dict[str, float]:
        """Numbers apart from the scores, by TensorBoard tag."""
        covered = {} if self.uncovered is None else {"valid/uncovered_source_tokens": self.uncovered}
        return {
            "valid/loss": self.loss,
            "valid/cross_entropy": self.cross_entropy,
            "valid/perplexity": self.perplexity,
            **covered,
        }

    def summary(self) -> str:
        losses = f"loss {self.loss:.3f}  perplexity {self.perplexity:.2f}"
        if self.evaluation is None:
            return f"{losses}  not translated: the model's scores are not finite"
        scores = "  ".join(f"{score.name} {score.value:.2f}" for score in self.evaluation.scores.values())
        return "  ".join(filter(None, [scores, losses, self.evaluation.empty_note]))

    def metric(self, name: str) -> float:
        """Value of a metric, or of "loss"; NaN where the model cannot translate."""
        if name == LOSS:
            return self.loss
        return math.nan if self.evaluation is None else self.evaluation.scores[MetricName(name)].value


class Validator:
    """The validation set, encoded once, and the decoder that users run.

    precision   of decoding
    manifest    of the run: tags, splitting of lines and BLEU's tokenizer as they were when it began
    translator  of this process; sharded: of all processes together, each of which takes its share of the lines
    notes       for the user about the scores, a line each
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Prepared,
        model: ParallelModel,
        world: World,
        *,
        precision: Precision,
        manifest: Mapping[str, Any],
    ):
        self.text, self.metrics = data.valid, config.validation.metrics
        self._model, self._world, self._smoothing = model, world, config.loss.label_smoothing
        self._tokenizer, self._num_explained = data.tokenizer, config.validation.attention_maps
        self._batches = encode_validation(
            data.valid, data.tokenizer, tokens=config.batch.tokens, max_length=config.model.max_length
        )
        engine = NativeEngine(
            model=model.module,
            device=model.device,
            batch_tokens=config.validation.batch_tokens,
            precision=precision,
        )
        # every line of the evaluation sets has its tag already
        tagging = dataclasses.replace(tagging_of(manifest, data.tokenizer), tag="")
        self.translator = Translator.of_model(
            engine, data.tokenizer, config.search, manifest, tagging=tagging, truecaser=data.truecaser
        )
        self.sharded = ShardedTranslator(self.translator, world)
        choice = tokenizer_of_run(config, data.valid.references, manifest)
        self.tokenize, self.notes = choice.name, [choice.note] if choice.note else []

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the scores, for the manifests of models, so that evaluate can repeat them."""
        return {
            "tag": self.text.tag,
            "bleu_tokenizer": self.tokenize,
            "decoding_precision": str(self.translator.engine.precision),
            "search": search_fields(self.translator.search),
        }

    def run(
        self,
        weights: Weights | None = None,
        *,
        progress: Callable[[float], None] | None = None,
        explain: bool = False,
    ) -> Validation:
        """Losses and scores with these weights, or with the model's own, which it has again afterwards.

        explain  also return the attention of a few sentences, on the main process

        Raises Interrupted, on every process, where one has received a signal.
        """
        with swapped_weights(self._model.module, weights):
            loss, cross_entropy, uncovered_share = self._losses()
            # a search has no best hypothesis among scores that are not finite
            evaluation = self._evaluate(progress) if math.isfinite(loss) else None
            explanations = self._explain(evaluation) if explain and evaluation and self._world.is_main else []
        return Validation(loss, cross_entropy, uncovered_share, evaluation, explanations)

    def _evaluate(self, progress: Callable[[float], None] | None) -> Evaluation | None:
        try:
            return evaluate_corpus(
                self.sharded, self.text, metrics=self.metrics, tokenize=self.tokenize, progress=progress
            )
        except DivergedError:
            return None

    def _explain(self, evaluation: Evaluation) -> list[Explanation]:
        # of ten times as many, those that are short enough for a picture
        pairs = list(zip(evaluation.source, evaluation.hypotheses, strict=True))[: 10 * self._num_explained]
        return explain_pairs(self._model.module, self._tokenizer, pairs, self._num_explained)

    def _losses(self) -> tuple[float, float, float | None]:
        """Mean loss and cross entropy per target token, in nats, and the share of uncovered source tokens."""
        shares = self._world.gather_results(self._own_sums)
        # sums, not means: shares of the processes differ in size
        loss, plain, target_tokens, missed, source_tokens = torch.stack([sums for sums, _ in shares]).sum(0).tolist()
        has_attention = all(has for _, has in shares)
        return loss / target_tokens, plain / target_tokens, missed / source_tokens if has_attention else None

    @torch.no_grad()
    def _own_sums(self) -> tuple[Tensor, bool]:
        """Sums (5,) over this process's share of the set, and whether the model has attention weights."""
        model, sums, has_attention = self._model, torch.zeros(5, dtype=torch.float64), True
        with evaluation_mode(model.module), stop_signals.interruptible():
            for batch in self._batches[self._world.rank :: self._world.size]:
                with model.autocast():
                    moved = batch.to(model.device)
                    # not the parallel model: processes may have different numbers of batches
                    output = model.module(moved, return_attention=True)
                    losses = label_smoothed_cross_entropy(
                        output.hidden, output.weight, moved.labels, smoothing=self._smoothing
                    )
                has_attention = output.attention is not None
                missed = float(uncovered(moved, output)) if has_attention else 0.0
                counts = batch.num_target_tokens, missed, batch.num_source_tokens
                sums += torch.tensor([*(float(loss) for loss in losses), *counts], dtype=torch.float64)
        return sums, has_attention


def encode_validation(text: ParallelText, tokenizer: Tokenizer, *, tokens: int, max_length: int) -> list[Batch]:
    """Padded batches of the pairs that the model can read whole and that have two sides, of the first reference.

    Raises UserError where there are none.
    """
    source = [np.array(ids) for ids in tokenizer.encode_source(text.source)]
    target = [np.array(ids) for ids in tokenizer.encode_target(text.target)]
    # an empty side has no tokens to predict from or to score; the decoder splits long lines, a loss cannot
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
    source_lengths, target_lengths = (np.array([len(ids) for ids in side], dtype=np.int32) for side in (source, target))
    repeats = np.ones(len(fitting), dtype=np.float32)
    # one seed for all validations: the same batches give comparable losses
    plan = BatchPlan(config).epoch((source_lengths, target_lengths), repeats, seed=0, epoch=0)
    return [
        pad_batch([source[i] for i in planned.pairs], [target[i] for i in planned.pairs], config.length_multiple)
        for planned in plan
    ]


@contextmanager
def swapped_weights(model: nn.Module, weights: Weights | None) -> Iterator[None]:
    """Temporarily load `weights` into the model (None: keep its own); restore its own on exit."""
    if weights is None:
        yield
        return
    # copies, since set_weights overwrites the tensors of the model
    own = {name: weight.clone() for name, weight in weights_of(model).items()}
    set_weights(model, weights)
    try:
        yield
    finally:
        set_weights(model, own)


def tokenizer_of_new_run(config: TrainConfig, references: Sequence[Sequence[str]]) -> TokenizerChoice:
    """The configured tokenizer, or the one for the target language or, without that, for the references' script."""
    if config.validation.tokenize:
        return TokenizerChoice(config.validation.tokenize)
    options = ("data.target_language", "validation.tokenize")
    return choose_tokenizer(references, language=config.data.target_language, options=options)


def tokenizer_of_run(
    config: TrainConfig, references: Sequence[Sequence[str]], manifest: Mapping[str, Any]
) -> TokenizerChoice:
    """The tokenizer that the run began with, as scores by another cannot be compared with its best one.

    Raises UserError where it is not installed.
    """
    choice = tokenizer_of_new_run(config, references)
    if config.validation.tokenize:
        return choice
    # older versions did not record it: there it followed the target language
    begun = str(manifest.get("bleu_tokenizer") or tokenizer_of_language(config.data.target_language))
    if reason := reason_missing(begun):
        raise UserError(
            f"this run began with BLEU by tok:{begun}, which is not installed here ({reason}): install it, or choose "
            "another run.dir"
        )
    # the set of installed tokenizers may have grown since: the run keeps its own
    if choice.name == begun:
        return choice
    return TokenizerChoice(
        begun, f"BLEU counts by tok:{begun}, as when this run began; a new run takes tok:{choice.name}"
    )
