"""Validation: losses on the validation sets, and scores of their translations by the decoder that users run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean as mean
from typing import Any

import torch
from torch import Tensor, nn

from translate.batch import Batch
from translate.checkpoint import Weights, set_weights, weights_of
from translate.data.prepare import Prepared
from translate.decoding.native_engine import NativeEngine
from translate.decoding.search.config import search_fields
from translate.decoding.translator import ShardedTranslator, Translator
from translate.device import Precision
from translate.distributed import World
from translate.errors import DivergedError
from translate.evaluation.evaluate import Evaluation, evaluate_corpus
from translate.evaluation.metrics import METRICS
from translate.evaluation.scores import RESAMPLES, MetricName, confidence_interval
from translate.explanation import Explanation, explain_pairs, uncovered
from translate.losses import label_smoothed_cross_entropy
from translate.models.seq2seq import evaluation_mode
from translate.signals import stop_signals
from translate.tags import tagging_of
from translate.training.compute_config import FastPath
from translate.training.config import TrainConfig
from translate.training.parallel import ParallelModel
from translate.training.validation_config import BY_INTERVAL, LOSS
from translate.training.validation_sets import ValidationSet, validation_sets


@dataclass(frozen=True, eq=False)
class SetValidation:
    """One validation on one set: means per target token in nats, and the decoded set.

    loss is label-smoothed, cross_entropy is not; perplexity is its exponential. uncovered is the share of source tokens
    that their reference translation hardly attends to; None: the model has no attention. evaluation is None where the
    model's numbers are not finite, so that it cannot translate. half_width is that of the 95 % confidence interval of
    the main metric's score. explanations are of a few of its translations.
    """

    name: str
    loss: float
    cross_entropy: float
    uncovered: float | None
    evaluation: Evaluation | None
    half_width: float | None = None
    explanations: list[Explanation] = field(default_factory=list)

    @property
    def scores(self) -> dict[MetricName, float]:
        """Value of each metric; none where the model cannot translate."""
        return {} if self.evaluation is None else {name: x.value for name, x in self.evaluation.scores.items()}


@dataclass(frozen=True, eq=False)
class Validation:
    """One validation on one set, or on those of several directions, whose means count (macro-averages).

    main  the metric that has a confidence interval: the one that chooses the best model, if it is not the loss
    """

    sets: list[SetValidation]
    main: MetricName = MetricName.bleu

    @property
    def loss(self) -> float:
        return mean(each.loss for each in self.sets)

    @property
    def is_translated(self) -> bool:
        """True unless the model cannot translate."""
        return all(each.evaluation is not None for each in self.sets)

    @property
    def scores(self) -> dict[MetricName, float]:
        """Value of each metric; none where the model cannot translate."""
        if not self.is_translated:
            return {}
        return {metric: mean(each.scores[metric] for each in self.sets) for metric in self.sets[0].scores}

    @property
    def half_width(self) -> float | None:
        """Half the width of the 95 % confidence interval of the main score; None where the model cannot translate."""
        found = [each.half_width for each in self.sets if each.half_width is not None]
        # the sets are independent: variances add up
        return math.hypot(*found) / len(found) if len(found) == len(self.sets) else None

    def least_gain(self, setting: str) -> float:
        """The value of validation.min_gain here, in points of the metric."""
        # of two checkpoints of a run the difference varies about half as much as each score: see docs/experiments.md
        return float(setting) if setting != BY_INTERVAL else (self.half_width or 0.0) / 2

    def losses(self) -> dict[str, float]:
        """Numbers apart from the scores, by name."""
        cross_entropy = mean(each.cross_entropy for each in self.sets)
        uncovered = [each.uncovered for each in self.sets if each.uncovered is not None]
        return {
            "loss": self.loss,
            "cross_entropy": cross_entropy,
            "perplexity": math.exp(min(cross_entropy, 700)),  # exp(710) overflows
            **({"uncovered_source_tokens": mean(uncovered)} if uncovered else {}),
        }

    def summary(self) -> str:
        losses = f"loss {self.loss:.3f}  perplexity {self.losses()['perplexity']:.2f}"
        if not self.is_translated:
            return f"{losses}  not translated: the model's scores are not finite"
        evaluations = [each.evaluation for each in self.sets if each.evaluation is not None]
        names = {metric: score.name for metric, score in evaluations[0].scores.items()}
        scores = "  ".join(f"{names[metric]} {value:.2f}" for metric, value in self.scores.items())
        # of several sets, each has a line of its own
        empty = evaluations[0].empty_note if len(evaluations) == 1 else ""
        return "  ".join(filter(None, [scores, losses, empty]))

    def lines_of_directions(self) -> list[str]:
        """The summary of each set for the log; none where there is one set."""
        if len(self.sets) == 1:
            return []
        return [f"valid {each.name}  {Validation([each], self.main).summary()}" for each in self.sets]

    def metric(self, name: str) -> float:
        """Value of a metric, or of "loss"; NaN where the model cannot translate."""
        return self.loss if name == LOSS else self.scores.get(MetricName(name), math.nan)


class Validator:
    """The validation sets, and the decoder that users run.

    precision   of decoding
    manifest    of the run: tags, splitting of lines and BLEU's tokenizer as they were when it began
    translator  of this process; sharded: of all processes together, each of which takes its share of the lines
    main        see Validation
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
        self.metrics, self.sets = config.validation.metrics, validation_sets(config, data, manifest)
        self.main = self.metrics[0] if config.validation.metric == LOSS else MetricName(config.validation.metric)
        self._model, self._world, self._smoothing = model, world, config.loss.label_smoothing
        self._tokenizer, self._num_explained = data.tokenizer, config.validation.attention_maps
        engine = NativeEngine(
            model=model.module,
            device=model.device,
            batch_tokens=config.validation.batch_tokens,
            precision=precision,
            graphs=config.compute.path is not FastPath.eager,
        )
        # every line of the evaluation sets has its tag already
        tagging = dataclasses.replace(tagging_of(manifest, data.tokenizer), tag="")
        self.translator = Translator.of_model(
            engine, data.tokenizer, config.search, manifest, tagging=tagging, truecaser=data.truecaser
        )
        self.sharded = ShardedTranslator(self.translator, world)
        self.notes = list(dict.fromkeys(each.tokenizer.note for each in self.sets if each.tokenizer.note))

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the scores, for the manifests of models, so that evaluate can repeat them."""
        settings = {
            "decoding_precision": str(self.translator.engine.precision),
            "search": search_fields(self.translator.search),
        }
        if len(self.sets) > 1:  # the directions in the manifest have the others
            return settings
        return {"tag": self.sets[0].text.tag, "bleu_tokenizer": self.sets[0].tokenizer.name, **settings}

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
            found = []
            for number, each in enumerate(self.sets):
                found.append(self._run_set(each, _part_of(progress, number, len(self.sets)), explain=explain))
        return Validation(found, self.main)

    def _run_set(
        self, each: ValidationSet, progress: Callable[[float], None] | None, *, explain: bool
    ) -> SetValidation:
        loss, cross_entropy, uncovered_share = self._losses(each.batches)
        # a search has no best hypothesis among scores that are not finite
        evaluation = self._evaluate(each, progress) if math.isfinite(loss) else None
        explanations = self._explain(evaluation) if explain and evaluation and self._world.is_main else []
        half_width = self._half_width(evaluation) if evaluation else None
        return SetValidation(each.text.name, loss, cross_entropy, uncovered_share, evaluation, half_width, explanations)

    def _half_width(self, evaluation: Evaluation) -> float:
        # without trailing white space, as for the score
        hypotheses, *references = (
            [line.rstrip() for line in side] for side in (evaluation.hypotheses, *evaluation.references)
        )
        statistics = METRICS[self.main].statistics(hypotheses, references, tokenize=evaluation.tokenize)
        return confidence_interval(statistics, resamples=RESAMPLES)

    def _evaluate(self, each: ValidationSet, progress: Callable[[float], None] | None) -> Evaluation | None:
        tokenize = each.tokenizer.name
        try:
            return evaluate_corpus(self.sharded, each.text, metrics=self.metrics, tokenize=tokenize, progress=progress)
        except DivergedError:
            return None

    def _explain(self, evaluation: Evaluation) -> list[Explanation]:
        # of ten times as many, those that are short enough for a picture
        pairs = list(zip(evaluation.source, evaluation.hypotheses, strict=True))[: 10 * self._num_explained]
        return explain_pairs(self._model.module, self._tokenizer, pairs, self._num_explained)

    def _losses(self, batches: Sequence[Batch]) -> tuple[float, float, float | None]:
        """Mean loss and cross entropy per target token, in nats, and the share of uncovered source tokens."""
        shares = self._world.gather_results(lambda: self._own_sums(batches))
        # sums, not means: shares of the processes differ in size
        loss, plain, target_tokens, missed, source_tokens = torch.stack([sums for sums, _ in shares]).sum(0).tolist()
        has_attention = all(has for _, has in shares)
        return loss / target_tokens, plain / target_tokens, missed / source_tokens if has_attention else None

    @torch.no_grad()
    def _own_sums(self, batches: Sequence[Batch]) -> tuple[Tensor, bool]:
        """Sums (5,) over this process's share of the set, and whether the model has attention weights."""
        model, sums, has_attention = self._model, torch.zeros(5, dtype=torch.float64), True
        with evaluation_mode(model.module), stop_signals.interruptible():
            for batch in batches[self._world.rank :: self._world.size]:
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


def _part_of(progress: Callable[[float], None] | None, number: int, count: int) -> Callable[[float], None] | None:
    """Display of the progress in one of several sets of equal work."""
    return None if progress is None else lambda share: progress((number + share) / count)


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
