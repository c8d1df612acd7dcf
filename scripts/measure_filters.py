"""Measure precision, recall and cost of each filter of data.cleaning.filters on a corpus with planted bad pairs.

    python scripts/measure_filters.py data.train.source=train.en data.train.target=train.de \
        'data.additional=[{source: other.zh, target: other.zh}]' data.train.take=100000

Options are those of `python -m translate.prepare`; the source lines of data.additional[0], if given, are text in a
third language. One pair in five is made bad, in several ways in turn. Each filter runs alone, after the default
cleaning rules. Prints Markdown tables: share of each kind of bad pairs that is dropped, and CPU seconds per million
pairs.
"""

import itertools
import os
import random
import sys
import tempfile
from bisect import bisect
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from translate.config import run_command
from translate.console import markdown_table
from translate.data.clean_text import write_clean_text
from translate.data.cleaning import CleaningConfig
from translate.data.corpus import CorpusConfig
from translate.data.dataset import CleanText
from translate.data.filters.config import FilterConfig
from translate.data.readers import read_pairs
from translate.prepare import PrepareConfig
from translate.text import TEXT_FORM, write_lines

BAD_SHARE = 0.2
FIRST_BAD = 100  # earlier pairs stay good, so that there are some to copy
CLEAN, OTHER_SIDE, THIRD, SHIFTED, NEAR, REPEATED = (
    "clean",
    "other side's language",
    "third language",
    "shifted",
    "near-duplicate",
    "repeated",
)
ACCEPT_ALL = "import sys\nfor _ in sys.stdin: print(1)"
FILTERS = {
    "none": FilterConfig(),
    "min_score=0.5": FilterConfig(min_score=0.5),
    "length_factor=2": FilterConfig(length_factor=2),
    "length_factor=3": FilterConfig(length_factor=3),
    "numbers": FilterConfig(numbers=True),
    "addresses": FilterConfig(addresses=True),
    "punctuation": FilterConfig(punctuation=True),
    "script": FilterConfig(script=True),
    "repetition=4": FilterConfig(repetition=4),
    "language": FilterConfig(language=True),
    "command": FilterConfig(command=[sys.executable, "-c", ACCEPT_ALL]),
    "near_duplicates=0.7": FilterConfig(near_duplicates=0.7),
    "near_duplicates=0.8": FilterConfig(near_duplicates=0.8),
}
Pair = tuple[str, str]


def plant(pairs: Sequence[Pair], foreign: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """Make one pair in five bad; returns the pairs, and the kind of each. Deterministic."""
    generator = random.Random(1)
    planted, kinds = list(pairs), [CLEAN] * len(pairs)
    bad = generator.sample(range(FIRST_BAD, len(pairs) - 1), int(BAD_SHARE * len(pairs)))
    good = sorted(set(range(len(pairs))) - set(bad))
    names = [OTHER_SIDE, *([THIRD] if foreign else []), SHIFTED, NEAR, REPEATED]
    for index, kind in zip(bad, itertools.cycle(names)):
        kinds[index] = kind
        if kind == NEAR:
            # of an earlier good pair, since the first of two similar pairs is kept
            original = pairs[good[generator.randrange(bisect(good, index))]]
            planted[index] = shortened(original[0], generator), shortened(original[1], generator)
        else:
            planted[index] = pairs[index][0], bad_target(kind, pairs, index, foreign, generator)
    return planted, kinds


def bad_target(kind: str, pairs: Sequence[Pair], index: int, foreign: Sequence[str], generator: random.Random) -> str:
    """A target that is wrong for the source of pairs[index]."""
    if kind == OTHER_SIDE:
        return pairs[index - 1][0]
    if kind == THIRD:
        return generator.choice(foreign)
    if kind == SHIFTED:
        return pairs[index + 1][1]
    return looped(pairs[index][1], generator)


def shortened(line: str, generator: random.Random) -> str:
    """Delete one to six consecutive characters at a random position."""
    length = min(6, max(1, len(line) // 12))
    start = generator.randrange(max(1, len(line) - length))
    return line[:start] + line[start + length :]


def looped(line: str, generator: random.Random) -> str:
    """Repeat a phrase of twelve characters five times, as a model that is caught in a loop."""
    start = generator.randrange(max(1, len(line) // 2))
    return line[:start] + (line[start : start + 12] + " ") * 5


def kept_lines(corpus: CorpusConfig, filters: FilterConfig) -> tuple[set[int], float]:
    """Numbers of the lines that are kept, from 1, and CPU seconds including child processes."""
    with tempfile.TemporaryDirectory() as folder:
        start = sum(os.times()[:4])
        write_clean_text(Path(folder), [("data.train", corpus)], CleaningConfig(filters=filters), text_form=TEXT_FORM)
        seconds = sum(os.times()[:4]) - start
        text = CleanText.load(Path(folder))
        return set(np.asarray(text.line[text.kept]).tolist()), seconds


def measure(config: PrepareConfig) -> None:
    """Print the tables."""
    pairs = list(read_pairs(config.data.train, key="data.train"))
    additional = config.data.training_corpora[1:2]
    foreign = [line for key, corpus in additional for line, _ in read_pairs(corpus, key=key)]
    planted, kinds = plant(pairs, foreign)
    rows, costs = [], []
    with tempfile.TemporaryDirectory() as folder:
        source, target, score = (Path(folder) / name for name in ("source", "target", "score"))
        write_lines(source, [pair[0] for pair in planted])
        write_lines(target, [pair[1] for pair in planted])
        write_lines(score, ["1"] * len(planted))  # min_score keeps all pairs, so that only its cost is measured
        corpus = CorpusConfig(source=str(source), target=str(target), score=str(score))
        baseline: set[int] = set()
        for name, filters in FILTERS.items():
            kept, seconds = kept_lines(corpus, filters)
            if name == "none":
                baseline, usual_seconds = kept, seconds
            dropped = [kinds[line - 1] for line in baseline - kept]
            bad = len(dropped) - dropped.count(CLEAN)
            shares = [dropped.count(kind) / sum(kinds[line - 1] == kind for line in baseline) for kind in unique(kinds)]
            precision = f"{bad / len(dropped):.1%}" if dropped else "–"
            rows.append((name, f"{len(dropped):,}", precision, *(f"{share:.1%}" for share in shares)))
            costs.append((name, f"{(seconds - usual_seconds) / len(pairs) * 1e6:.1f}"))
        costs[0] = ("none: cleaning alone", f"{usual_seconds / len(pairs) * 1e6:.1f}")
    print(markdown_table(("filter", "dropped", "precision", *(f"of {kind}" for kind in unique(kinds))), rows))
    print()
    print(markdown_table(("filter", "CPU seconds per million pairs"), costs))


def unique(kinds: Sequence[str]) -> list[str]:
    """Distinct kinds in alphabetical order, clean pairs last."""
    return sorted(set(kinds), key=lambda kind: (kind == CLEAN, kind))


if __name__ == "__main__":
    run_command("prepare", PrepareConfig, measure)
