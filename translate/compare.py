"""python -m translate.compare: translations of the same text by several systems, scored beside each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from translate.config import run_command
from translate.errors import UserError
from translate.evaluation.metrics import SACREBLEU, Metric, bleu_tokenizer, p_value, score
from translate.evaluation.report import aligned, rounded
from translate.text import read_lines


@dataclass(kw_only=True)
class CompareConfig:
    """The compare command: scores with confidence intervals, and p of each difference from the baseline.

    reference        a file
    baseline         a file of translations, line by line; a run's are in evaluation/hypotheses.txt
    systems          files of others: systems=[a.txt,b.txt]
    target_language  its code: chooses what BLEU counts as words, unless tokenize says so
    bootstrap        resamples, for intervals and for p (paired)
    """

    reference: str = "???"
    baseline: str = "???"
    systems: list[str] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=lambda: [*SACREBLEU])
    target_language: str = ""
    tokenize: str = ""
    bootstrap: int = 1000


def compare(config: CompareConfig) -> None:
    references, baseline = list(read_lines(config.reference)), list(read_lines(config.baseline))
    tokenize = config.tokenize or bleu_tokenizer(config.target_language)
    rows, signatures = [["", *config.metrics]], []
    for path in [config.baseline, *config.systems]:
        hypotheses = list(read_lines(path))
        if len(hypotheses) != len(references):
            raise UserError(f"{config.reference} has {len(references):,} lines, but {path} has {len(hypotheses):,}")
        scores = score(hypotheses, references, metrics=config.metrics, tokenize=tokenize, bootstrap=config.bootstrap)
        cells = []
        for metric, found in scores.items():
            cell = rounded(found)
            if path != config.baseline:
                p = p_value(metric, hypotheses, baseline, references, tokenize=tokenize, resamples=config.bootstrap)
                cell += f"  p = {p:.3f}"
            cells.append(cell)
        rows.append([path, *cells])
        signatures = [f"{found.name}: {found.signature}" for found in scores.values()]
    print("\n".join([*aligned(rows), "", *signatures]))


if __name__ == "__main__":
    run_command("compare", CompareConfig, compare)
