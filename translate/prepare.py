"""python -m translate.prepare: clean and encode a corpus ahead of training, and report on it."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from translate.config import run_command
from translate.console import start_log
from translate.data.corpora import DataConfig
from translate.data.dataset import CleanText
from translate.data.direction import with_languages
from translate.data.held_out import held_out_files
from translate.data.prepare import ChooseTokenizer, Prepared, prepare
from translate.data.report import MARKDOWN, VALUES, data_report
from translate.errors import require_numbers
from translate.folders import claimed
from translate.tokenizer_training import TokenizerConfig

logger = logging.getLogger("translate.prepare")


@dataclass(kw_only=True)
class PrepareConfig:
    """Data, tokenizer, and what is shown of them.

    tokenizer  its vocab_size, unless given, is that of a training with recipe=auto
    report  print the data report
    output  a folder for it, as data_report.md and data_report.json, and for the sets held out from data.train
    """

    OPEN: ClassVar = ("tokenizer.vocab_size",)

    chosen: list[str] = field(default_factory=list)
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    report: bool = False
    output: str = ""

    def check(self) -> None:
        """Raise UserError for values out of range, before a file is read."""
        require_numbers(self)
        self.data.check()
        self.tokenizer.check()
        self.tokenizer.require_effect()


def run(config: PrepareConfig) -> Prepared:
    """Fill the cache that training reads, and report on the corpora."""
    start_log()
    config.check()
    data = with_languages(config.data)
    output = Path(config.output) if config.output else None
    files = [MARKDOWN, VALUES]
    with (
        # claimed before the work, so that an unusable folder is found at once
        claimed(output, files, may_have=held_out_files(data.sets_to_hold_out), kind="data report", option="output")
        if output
        else nullcontext()
    ):
        is_open = "tokenizer.vocab_size" in config.chosen and not config.tokenizer.path
        prepared = prepare(data, _sized_by_text(config.tokenizer) if is_open else config.tokenizer)
        if is_open and (settings := prepared.tokenizer_config):
            size, reason = f"tokenizer.vocab_size={settings.vocab_size}", prepared.vocabulary_reason
            logger.info(f"{size} is chosen as by a training with recipe=auto  ({reason})")
        if prepared.held_out is not None:
            # the cache may be deleted, but later scores need the same sets
            held_out = prepared.held_out.copy(output) if output else prepared.held_out
            logger.info(held_out.describe())
        print(prepared.cleaning.table())
        if prepared.mix:
            print(prepared.mix)
        if config.report or output:
            report = data_report(data, prepared)
            print(report.markdown)
            if output:
                report.save(output)
    return prepared


def _sized_by_text(tokenizer: TokenizerConfig) -> ChooseTokenizer:
    """The tokenizer with a vocabulary of the size that a training without settings would choose."""
    from translate.training.recipe import vocabulary_for  # imports PyTorch

    def choose(text: CleanText, weights: Sequence[float]) -> tuple[TokenizerConfig, str]:
        choice = vocabulary_for(text, weights, tokenizer.character_coverage)
        return replace(tokenizer, vocab_size=choice.values["tokenizer.vocab_size"]), choice.reason

    return choose


if __name__ == "__main__":
    run_command("prepare", PrepareConfig, run)
