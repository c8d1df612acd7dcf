"""Settings of validations: metrics, early stopping, and how much is shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from translate.errors import UserError, require_at_least, require_between
from translate.evaluation.scores import MetricName
from translate.evaluation.tokenizers import check_tokenizer

LOSS = "loss"  # as a validation metric
BY_INTERVAL = "interval"  # as validation.min_gain
MOST_GAIN = 100.0  # points of a metric


@dataclass(kw_only=True)
class ValidationConfig:
    """Validations during a run.

    metrics       metrics to report, also for the final test; groups are scored by the first two
    metric        one of metrics, or loss; chooses the best checkpoint, and determines early stopping
    min_gain      improvement of the metric below which a validation counts as none for run.patience; interval: half of
                  the score's 95 % confidence interval on one side, which early stopping then takes for noise
    tokenize      sacreBLEU's -tok, also for the final test; "": by data.target_language, or the references' script
    batch_tokens  source tokens per batch in decoding; 0: chosen automatically
    samples, attention_maps  numbers of translations and of sentences with attention maps in TensorBoard
    """

    every: int = 1000
    metrics: list[MetricName] = field(default_factory=lambda: [MetricName.bleu, MetricName.chrf])
    metric: str = "bleu"
    min_gain: str = "0"
    tokenize: str = ""
    batch_tokens: int = 0
    samples: int = 6
    attention_maps: int = 3

    def check(self) -> None:
        require_at_least("validation.every", self.every, 1)
        for key in ("batch_tokens", "samples", "attention_maps"):
            require_at_least(f"validation.{key}", getattr(self, key), 0)
        if self.metric not in (choices := [*self.metrics, LOSS]):
            raise UserError(f"validation.metric={self.metric} must be one of {', '.join(choices)} (validation.metrics)")
        self._check_min_gain()
        if self.tokenize:
            check_tokenizer(self.tokenize, key="validation.tokenize")

    def _check_min_gain(self) -> None:
        if self.min_gain == BY_INTERVAL:
            if self.metric == LOSS:
                raise UserError(f"validation.min_gain={BY_INTERVAL}: the loss has no interval; give a number of nats")
            return
        try:
            gain = float(self.min_gain)
        except ValueError:
            raise UserError(f"validation.min_gain={self.min_gain} must be a number or {BY_INTERVAL}") from None
        require_between("validation.min_gain", gain, 0, MOST_GAIN)
