"""python -m translate.compare: translations of the same text by several systems, scored beside each other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from translate.config import run_command
from translate.console import print_notes, text_table
from translate.data.corpus import one_or_several
from translate.errors import UserError, require_numbers
from translate.evaluation.evaluate import scoring_notes
from translate.evaluation.metrics import SACREBLEU, check_bootstrap, normalised_scores, p_value, score
from translate.evaluation.scores import MIN_RESAMPLES, RESAMPLES, MetricName
from translate.evaluation.tokenizers import TokenizerChoice, check_tokenizer, choose_tokenizer
from translate.streams import require_stream
from translate.text import read_lines

Lines = list[str]


@dataclass(kw_only=True)
class CompareConfig:
    """Score several systems, with confidence intervals and p-values of the differences from a baseline.

    Example: python -m translate.compare reference=FILE baseline=FILE 'systems=[FILE,FILE]'

    reference        a file; several references: reference=[FIRST,SECOND]
    baseline         a file of translations, line by line; those of a run are in evaluation/hypotheses.txt
    systems          files of translations to compare with it
    target_language  code such as zh, which determines BLEU's tokenizer unless tokenize is set; "": by the script of the
                     references
    bootstrap        resamples for intervals and p-values (paired), at least 100; 0: neither
    """

    reference: Any = "???"  # str | list[str]
    baseline: str = "???"
    systems: list[str] = field(default_factory=list)
    metrics: list[MetricName] = field(default_factory=lambda: [*SACREBLEU])
    target_language: str = ""
    tokenize: str = ""
    bootstrap: int = RESAMPLES

    def check(self) -> None:
        """Raise UserError for values out of range, before a file is read."""
        require_numbers(self)
        check_bootstrap(self.bootstrap)


def compare(config: CompareConfig) -> None:
    """Score every system against the references; print a table, the signatures and notes."""
    config.check()
    require_stream(sys.stdout, "standard output", "the scores are printed there")
    # all files are read before the first is scored: with resamples, scoring takes long
    references, systems = _read(config)
    choice = _tokenizer(config, references)
    rows, signatures = [["", *config.metrics]], []
    for path, hypotheses in systems.items():
        scores = score(hypotheses, references, metrics=config.metrics, tokenize=choice.name, bootstrap=config.bootstrap)
        cells = [found.rounded for found in scores.values()]
        # paired with the baseline on the same resamples, which needs less difference than two intervals apart
        if path != config.baseline and config.bootstrap >= MIN_RESAMPLES:
            sides = hypotheses, systems[config.baseline], references
            p_values = [p_value(metric, *sides, tokenize=choice.name, resamples=config.bootstrap) for metric in scores]
            cells = [f"{cell}  p = {p:.3f}" for cell, p in zip(cells, p_values, strict=True)]
        rows.append([path, *cells])
        # equal for all systems, so that the last ones stand for all
        signatures = [f"{found.name}: {found.signature}" for found in scores.values()]
    print("\n".join([text_table(rows), "", *signatures]))
    for note in filter(None, [choice.note, *_notes(config, references, systems, choice.name)]):
        print(note, file=sys.stderr)


def _read(config: CompareConfig) -> tuple[list[Lines], dict[str, Lines]]:
    """References, and hypotheses by their file's name. Raises UserError, with both counts, if their lengths differ."""
    paths = one_or_several(config.reference, key="reference")
    references = [list(read_lines(path)) for path in paths]
    named = [config.baseline, *config.systems]
    if len(set(named)) < len(named):
        print_notes("a file that is named several times is scored once")
    systems = {path: list(read_lines(path)) for path in named}
    for path, lines in [*zip(paths[1:], references[1:], strict=True), *systems.items()]:
        if len(lines) != len(references[0]):
            raise UserError(f"{paths[0]} has {len(references[0]):,} lines, but {path} has {len(lines):,}")
    return references, systems


def _tokenizer(config: CompareConfig, references: Sequence[Lines]) -> TokenizerChoice:
    if config.tokenize:
        check_tokenizer(config.tokenize, key="tokenize")
        return TokenizerChoice(config.tokenize)
    return choose_tokenizer(references, language=config.target_language)


def _notes(config: CompareConfig, references: Sequence[Lines], systems: dict[str, Lines], tokenize: str) -> list[str]:
    """Notes below the table, a line each."""
    notes = []
    if config.bootstrap < MIN_RESAMPLES:
        wanted = f"confidence intervals and p-values need at least {MIN_RESAMPLES} resamples"
        notes.append(f"bootstrap={config.bootstrap}: {wanted}")
    every_line = [line for lines in systems.values() for line in lines]
    notes += scoring_notes(references, config.metrics, hypotheses=every_line)
    for path, lines in systems.items():
        if found := normalised_scores(lines, references, metrics=config.metrics, tokenize=tokenize):
            notes.append(f"{path}: {found}")
    return notes


if __name__ == "__main__":
    run_command("compare", CompareConfig, compare)
