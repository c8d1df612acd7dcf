"""What a finished run has to show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.machine import describe_machine
from translate.checkpoint import LoadedModel, load_model
from translate.data.corpora import ParallelText, one_or_several
from translate.evaluation import metrics
from translate.evaluation.scores import MetricName
from translate.evaluation.tokenizers import DEFAULT_TOKENIZER
from translate.files import read_json
from translate.losses.attention import uncovered
from translate.text import read_lines
from translate.training.validation import encode_validation

ENOUGH_LINES = 20  # of one length, for a BLEU that says anything


@dataclass(frozen=True)
class Facts:
    """What the tables show.

    by_length  BLEU of the sentences of each length, where there are enough of them
    tokenize   what BLEU counted as words
    uncovered  share of the test set's source tokens that the reference translation hardly attends to
    """

    folder: Path
    bleu: float
    interval: float
    chrf: float
    by_length: dict[str, float]
    parameters: int
    updates: int
    minutes: float
    tokens_per_second: float
    uncovered: float | None
    tokenize: str = DEFAULT_TOKENIZER

    @classmethod
    def of(cls, folder: Path) -> Facts:
        report = read_json(folder / "evaluation" / "report.json")
        progress = progress_of(folder)
        loaded = load_model(folder, device=torch.device("cpu"))
        return cls(
            folder=folder,
            bleu=report["scores"]["bleu"]["value"],
            interval=report["scores"]["bleu"]["interval"],
            chrf=report["scores"]["chrf"]["value"],
            by_length={group["name"]: group["bleu"] for group in report["by_length"] if group["lines"] >= ENOUGH_LINES},
            parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
            updates=progress["step"],
            minutes=progress["seconds"] / 60,
            tokens_per_second=progress["target_tokens"] / progress["seconds"],
            uncovered=_uncovered(loaded, test_set(folder)),
            tokenize=report.get("tokenize", DEFAULT_TOKENIZER),
        )

    @property
    def hypotheses(self) -> list[str]:
        return list(read_lines(self.folder / "evaluation" / "hypotheses.txt"))


def machine_and_commits(folders: Iterable[Path], *, threads: int) -> str:
    """Where the runs in these folders were made, and from what code; one line."""
    commits = {str(read_json(folder / "manifest.json")["commit"]) for folder in folders}
    machine = describe_machine(threads=threads) | {"commit of the runs": ", ".join(sorted(commits))}
    del machine["commit"]  # that of the report
    return "; ".join(f"{key}: {value}" for key, value in machine.items())


def progress_of(folder: Path) -> dict[str, Any]:
    """How far a run has come: steps, seconds of training, target tokens."""
    return read_json(max(folder.glob("state/step-*")) / "progress.json")


def test_set(folder: Path) -> ParallelText:
    """That a run was scored on."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["data"]["test"]
    references = one_or_several(config["target"], key="data.test.target")
    first, *further = [list(read_lines(path)) for path in references]
    return ParallelText("test", list(read_lines(config["source"])), first, None, references, further)


@torch.no_grad()
def _uncovered(loaded: LoadedModel, text: ParallelText) -> float | None:
    missed = tokens = 0
    for batch in encode_validation(text, loaded.tokenizer, tokens=2048, max_length=loaded.model.max_length):
        output = loaded.model(batch, return_attention=True)
        if output.attention is None:
            return None
        missed, tokens = missed + int(uncovered(batch, output)), tokens + batch.num_source_tokens
    return missed / tokens


def p_value(facts: Facts, baseline: Facts) -> float:
    """Of the difference in BLEU, by paired bootstrap."""
    references = test_set(facts.folder).references
    return metrics.p_value(MetricName.bleu, facts.hypotheses, baseline.hypotheses, references, tokenize=facts.tokenize)
