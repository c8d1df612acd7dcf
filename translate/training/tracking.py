"""Output of a run: a progress line, a log file, and TensorBoard, where runs are compared."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from translate.evaluation.evaluate import Evaluation
from translate.explaining.explanation import Explanation
from translate.explaining.rendering import Picture, draw_alignment, draw_heads
from translate.training.step import StepResult
from translate.training.validation import Validation

MARKUP = "\\`*_{}[]<>()#+-.!|~&\n"


class Meter:
    """Sums over the updates since the last report."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.results: list[StepResult] = []

    def add(self, result: StepResult) -> None:
        self.results.append(result)

    def report(self, *, learning_rate: float, skipped: int) -> dict[str, float]:
        """Means over the updates since the last report, by TensorBoard tag; empties the meter."""
        results, seconds = self.results, time.monotonic() - self.started
        target = sum(result.target_tokens for result in results)
        source = sum(result.source_tokens for result in results)
        places = sum(result.positions for result in results)
        values = {
            "train/loss": _mean(results, lambda result: result.loss),
            "train/cross_entropy": _mean(results, lambda result: result.cross_entropy),
            "train/gradient_norm": sum(result.gradient_norm for result in results) / len(results),
            "train/learning_rate": learning_rate,
            "train/skipped_updates": skipped,
            **{f"train/auxiliary/{name}": _mean(results, _auxiliary(name)) for name in results[0].auxiliary},
            "speed/target_tokens_per_second": target / seconds,
            "speed/updates_per_second": len(results) / seconds,
            "train/target_tokens_per_update": target / len(results),
            "train/padding_share": 1 - (source + target) / places,
            "speed/memory_gib": peak_memory(),
        }
        self.__init__()  # type: ignore[misc]
        return values


def _mean(results: Sequence[StepResult], loss_of: Callable[[StepResult], float]) -> float:
    """Per target token."""
    tokens = sum(result.target_tokens for result in results)
    return sum(loss_of(result) * result.target_tokens for result in results) / tokens


def _auxiliary(name: str) -> Callable[[StepResult], float]:
    return lambda result: result.auxiliary[name]


def peak_memory() -> float:
    """GiB: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


class Tracker:
    """TensorBoard's files of one run; events after the step that a run continues from are dropped.

    A context, which ends with all events in the files, however the run ends.
    """

    def __init__(self, directory: Path, *, step: int):
        self.writer = SummaryWriter(str(directory), purge_step=step + 1 if step else None, max_queue=100)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for tag, value in values.items():
            self.writer.add_scalar(tag, value, step)

    def validation(self, validation: Validation, maps: Sequence[Explanation], *, samples: int, step: int) -> None:
        losses = {
            "valid/loss": validation.loss,
            "valid/cross_entropy": validation.cross_entropy,
            "valid/perplexity": validation.perplexity,
            **({} if validation.uncovered is None else {"valid/uncovered_source_tokens": validation.uncovered}),
        }
        self.scalars(losses, step)
        if validation.evaluation is not None:
            self._translations(validation.evaluation, maps, samples=samples, step=step)
        self.writer.flush()

    def _translations(self, evaluation: Evaluation, maps: Sequence[Explanation], *, samples: int, step: int) -> None:
        scores = {f"valid/{metric}": score.value for metric, score in evaluation.scores.items()}
        details = {f"valid/{name}": x for score in evaluation.scores.values() for name, x in score.details.items()}
        speed = len(evaluation.source) / max(evaluation.seconds, 1e-9)
        self.scalars({**scores, **details, "speed/valid_sentences_per_second": speed}, step)
        for group in evaluation.by_length:
            metric, score = next(iter(group.scores.items()))
            self.writer.add_scalar(f"valid_{metric}_by_length/{group.name}", score.value, step)
        self.writer.add_text("valid_translations", _samples(evaluation, samples), step)
        for number, explanation in enumerate(maps, start=1):
            self.picture(f"valid_cross_attention/{number}", draw_alignment(explanation), step)
            for heads in explanation.heads:
                self.picture(f"valid_attention_heads_{number}/{heads.kind}", draw_heads(heads), step)

    def picture(self, tag: str, picture: Picture, step: int) -> None:
        self.writer.add_image(tag, picture, step, dataformats="HWC")

    def text(self, tag: str, text: str, step: int = 0) -> None:
        self.writer.add_text(tag, text, step)

    def summary(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """A row of the HParams tab: what was chosen, and what came of it."""
        for summary in hparams(dict(settings), {f"result/{name}": value for name, value in results.items()}):
            self.writer._get_file_writer().add_summary(summary)
        self.scalars({f"result/{name}": value for name, value in results.items()}, step)
        self.writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()


def _samples(evaluation: Evaluation, count: int) -> str:
    """A Markdown table of evenly spaced lines: source, translation, reference."""
    places = [number * len(evaluation.source) // count for number in range(min(count, len(evaluation.source)))]
    rows = [
        "| "
        + " | ".join(
            _cell(side[place]) for side in (evaluation.source, evaluation.hypotheses, evaluation.references[0])
        )
        + " |"
        for place in places
    ]
    return "\n".join(["| source | translation | reference |", "|---|---|---|", *rows])


def _cell(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return "".join(f"&#{ord(letter)};" if letter in MARKUP else letter for letter in text[:500])
