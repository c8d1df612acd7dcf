"""Comparison of updates made in some way with the same updates in eager mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from translate.checkpoint import Weights
from translate.device import Precision
from translate.training.step import StepResult

# unit roundoff: largest relative rounding error of a number
UNIT = {Precision.fp32: 2.0**-24, Precision.bf16: 2.0**-9, Precision.fp16: 2.0**-12}
TF32_UNIT = 2.0**-12  # of the operands of fp32 products on a GPU, in training (translate.device.use_tf32)
SUMS = 1e-5  # relative error of fp32 sums over thousands of terms, in any order
# Allowed multiples of the differences that perturbed weights cause. The largest of twenty differences varies much from
# sample to sample; the mean varies less, and shows a wrong gradient, which changes all updates in the same direction.
_OF_LARGEST, _OF_MEAN, _OF_WEIGHTS = 4.0, 2.0, 4.0


@dataclass(frozen=True, eq=False)
class Trace:
    """Results of the updates, the change of the weights by all of them, and seconds per update (0: not timed)."""

    results: list[StepResult]
    change: Weights
    seconds: float = 0.0


def difference(found: Trace, expected: Trace, rounded: Trace, unit: float) -> str:
    """A message on how results or weights differ beyond rounding; "" if they do not.

    rounded  a trace whose differences from the expected one are due to rounding
    unit     see rounding_unit
    """
    for name in ("loss", "gradient_norm"):
        values = (_values(each, name) for each in (found, expected, rounded))
        if reason := _difference_of(name.replace("_", " "), *values, unit=unit):
            return reason
    size = _norm(expected.change) or 1.0
    change, noise = (_norm(each.change, expected.change) / size for each in (found, rounded))
    most = _OF_WEIGHTS * noise + unit + SUMS
    # `not <=` instead of `>`: NaN counts as different
    if not change <= most:
        return f"the change of the weights differs from eager mode's by {change:.2g} ({most:.2g} is allowed)"
    return ""


def _values(trace: Trace, name: str) -> list[float]:
    return [getattr(result, name) for result in trace.results]


def _difference_of(name: str, found: list[float], expected: list[float], rounded: list[float], *, unit: float) -> str:
    """A message on how the loss or the gradient norm (`name`) of all updates differs; "" if it does not."""
    pairs = zip(log_ratios(found, expected), log_ratios(rounded, expected), strict=True)
    # in fp16 an update may overflow in only one of the two traces of eager mode: ignore it
    finite = [pair for pair in pairs if math.isfinite(pair[1])]
    if not finite:
        return f"the {name} is not finite in eager mode"
    differences, noise = zip(*finite, strict=True)
    mean, largest = abs(sum(differences)) / len(differences), max(map(abs, differences))
    most_mean = _OF_MEAN * math.sqrt(sum(x * x for x in noise) / len(noise)) + unit / 2 + SUMS
    most = _OF_LARGEST * max(map(abs, noise)) + unit + SUMS
    if mean <= most_mean and largest <= most:
        return ""
    return (
        f"the {name} differs from eager mode's by {mean:.2g} on average and up to {largest:.2g} (relative; "
        f"{most_mean:.2g} and {most:.2g} are allowed)"
    )


def rounding_unit(precision: Precision, *, on_gpu: bool) -> float:
    """Relative rounding error of the operands of matrix products in training."""
    return TF32_UNIT if on_gpu and precision is Precision.fp32 else UNIT[precision]


def log_ratios(values: Sequence[float], exact: Sequence[float]) -> list[float]:
    """log(value / exact), nearly the relative difference; 0 if both are 0 or not finite, infinite if only one is."""
    return [_log_ratio(value, other) for value, other in zip(values, exact, strict=True)]


def _log_ratio(value: float, exact: float) -> float:
    if not (math.isfinite(value) or math.isfinite(exact)) or value == exact:
        return 0.0
    ratio = value / exact if exact else math.inf
    return math.log(ratio) if 0 < ratio < math.inf else math.inf


def _norm(change: Weights, other: Weights | None = None) -> float:
    """Norm of the changes of all weights together, or of the difference between two such changes."""
    differences = (value if other is None else value - other[name] for name, value in change.items())
    return math.sqrt(sum(float(x.double().square().sum()) for x in differences))
