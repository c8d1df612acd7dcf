"""python -m translate.score: score given translations by a model, for instance to filter a corpus."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count, islice, zip_longest
from typing import Any

from translate.config import run_command
from translate.console import Progress, print_notes
from translate.decoding.config import DecodingConfig
from translate.decoding.translation import ScoredPair, perplexity
from translate.decoding.translator import Translator
from translate.engines import load_translator
from translate.errors import UserError
from translate.output import check_output, open_output
from translate.streams import discard_output, require_stream
from translate.tags import TagCount
from translate.text import STANDARD, WINDOW, count_lines, is_complete, normalise, open_input, read_lines, read_windows

Pairs = list[tuple[str, str]]  # raw lines of source and target


class ScoreFormat(StrEnum):
    tsv = "tsv"
    json = "json"


@dataclass(kw_only=True)
class ScoreConfig(DecodingConfig):
    """Score given translations: one line of output for each pair.

    Examples: python -m translate.score model=runs/mine source=FILE target=FILE output=scores.tsv
              python -m translate.score model=runs/mine input=pairs.tsv format=json output=scored.jsonl

    Lines are read as in decoding, but never split: a pair with a blank source, or of which a side has more tokens than
    the model can read or write, has no score.

    model           a run's folder or a model directory; several of one vocabulary score together: model=[FIRST,SECOND]
    source, target  files of as many lines; "": the pairs are in input
    input           file of lines SOURCE TAB TARGET; "-" is standard input
    output          file; "-" is standard output
    format          tsv: score, the mean log probability of a token; log probability; perplexity; number of tokens. EOS
                    counts as a token. Without a score: -inf, -inf, inf, 0. json: an object a line, with source, target,
                    scores and entropies of tokens, alignment and warnings (docs/decoding.md)
    progress        show progress on stderr
    """

    model: Any = "???"  # str, or list[str]
    source: str = ""
    target: str = ""
    input: str = STANDARD
    output: str = STANDARD
    format: ScoreFormat = ScoreFormat.tsv
    progress: bool = True

    @property
    def files(self) -> list[str]:
        return [self.source, self.target] if self.source else [self.input]


def score(config: ScoreConfig) -> None:
    """Score the pairs of config.source and config.target, or of config.input."""
    config.check()
    config.refuse_constraints("leave it out, the translations are given")
    check_files(config)
    translator = load_translator(config.model, config)
    print_notes(translator.tagging.note)
    totals, tags = Totals(), TagCount(translator.tagging)
    previous = deque[str](maxlen=translator.context)  # source lines that the model reads as context
    progress = make_progress(config)
    try:
        with open_output(config.output) as output:
            for window in read_pairs(config):
                sources, targets = [source for source, _ in window], [target for _, target in window]
                tags.add_all(map(normalise, sources))
                details = config.format is ScoreFormat.json
                scored = translator.score(sources, targets, previous=list(previous), details=details)
                previous.extend(sources)
                output.writelines(format_window(translator, window, scored, config.format, first=totals.pairs))
                # the other end of a pipe may wait for these lines before it sends the next ones
                output.flush()
                totals.add(scored)
                if progress:
                    progress.show(totals.pairs)
    except BrokenPipeError:
        if config.output != STANDARD:
            raise UserError(f"output={config.output}: the reader of this pipe has left") from None
        discard_output(sys.stdout)
        return
    if progress:
        progress.finish(totals.pairs)
    print_notes(totals.describe(translator), warning=tags.warning())


@dataclass
class Totals:
    """Counts of pairs read and of those too long; tokens and log probability of those with a score."""

    pairs: int = 0
    too_long: int = 0
    tokens: int = 0
    log_prob: float = 0.0

    def add(self, scored: Sequence[ScoredPair]) -> None:
        self.pairs += len(scored)
        self.too_long += sum(pair.is_too_long for pair in scored)
        for pair in scored:
            if pair.scores is not None:
                self.tokens += len(pair.scores.log_probs)
                self.log_prob += sum(pair.scores.log_probs)

    def describe(self, translator: Translator) -> str:
        """A line for the log."""
        notes = []
        if self.tokens:
            mean = self.log_prob / self.tokens
            figures = f"mean log probability {mean:.4f}, perplexity {perplexity(mean):.2f}"
            notes.append(f"{self.tokens:,} target tokens: {figures}")
        if self.too_long:
            limits = f"{translator.max_source_length:,} source or {translator.engine.max_length:,} target tokens"
            notes.append(f"{self.too_long:,} of {self.pairs:,} pairs have more than {limits}: not scored")
        return "; ".join(notes)


def read_pairs(config: ScoreConfig) -> Iterator[Pairs]:
    """Windows of raw pairs. Raises UserError for files of different length, and for a line without a TAB."""
    if config.source:
        sides = zip_longest(read_lines(config.source), read_lines(config.target))
        while rows := list(islice(sides, WINDOW)):
            window = [(source, target) for source, target in rows if source is not None and target is not None]
            if len(window) < len(rows):  # of pipes, whose lines are not counted before
                raise UserError(f"{config.source} and {config.target} do not have as many lines as each other")
            yield window
        return
    numbers = count(1)
    for lines in read_windows(open_input(config.input)):
        window = []
        for line, number in zip(lines, numbers, strict=False):  # the numbers never end
            first, tab, second = line.text.partition("\t")
            if not tab:
                name = config.input if config.input != STANDARD else "standard input"
                raise UserError(f"{name}, line {number}: no TAB between source and target; or set source= and target=")
            # further columns, such as an earlier score, are ignored
            window.append((first, second.partition("\t")[0]))
        yield window


def format_window(
    translator: Translator, window: Pairs, scored: Sequence[ScoredPair], output_format: ScoreFormat, *, first: int
) -> Iterator[bytes]:
    """A line for each pair, of which the first has the number `first`."""
    if output_format is ScoreFormat.json:
        from translate.decoding.json_records import pair_lines  # which takes long to import

        yield from (f"{record}\n".encode() for record in pair_lines(translator, window, scored, first=first))
        return
    for pair in scored:
        if pair.scores is None:
            yield b"-inf\t-inf\tinf\t0\n"
            continue
        mean, log_probs = pair.scores.score(), pair.scores.log_probs
        yield f"{mean:.6f}\t{sum(log_probs):.6f}\t{perplexity(mean):.6g}\t{len(log_probs)}\n".encode()


def check_files(config: ScoreConfig) -> None:
    """Raise UserError for files that cannot be read or written, sides of different length, and options of a search."""
    if config.rerank.models:
        raise UserError("rerank orders the hypotheses of a search, and given translations are scored: leave it out")
    if not config.model or not config.output or not config.input:
        raise UserError("model, input and output must not be empty: leave them out, or name them")
    if bool(config.source) != bool(config.target):
        raise UserError("source and target belong together: set both, or neither for pairs in input")
    if config.source and config.input != STANDARD:
        raise UserError(f"input={config.input}: the pairs are in source and target already: leave one of them out")
    if STANDARD in (config.source, config.target):
        raise UserError("source and target are files; standard input has pairs SOURCE TAB TARGET: input=-")
    if config.files == [STANDARD]:
        require_stream(sys.stdin, "standard input", "name files: source=FILE target=FILE")
    if config.output == STANDARD:
        require_stream(sys.stdout, "standard output", "name a file: output=FILE")
    counts = [count_lines(path) for path in config.files if path != STANDARD and is_complete(path)]
    if len(set(counts)) > 1:
        raise UserError(f"{config.source} has {counts[0]:,} lines, but {config.target} has {counts[1]:,}")
    check_output(config.output, config.files)


def make_progress(config: ScoreConfig) -> Progress | None:
    """Progress display on stderr; None if it is off, or would mix with lines on a terminal."""
    if not config.progress or (config.output == STANDARD and sys.stdout.isatty()):
        return None
    path = config.files[0]
    is_countable = path != STANDARD and is_complete(path)
    return Progress("pairs", total=count_lines(path) if is_countable else None)


if __name__ == "__main__":
    run_command("score", ScoreConfig, score)
