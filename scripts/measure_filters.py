"""Measure the filters of data.cleaning: precision, recall and price of each on a corpus with planted bad pairs.

    python scripts/measure_filters.py data.train.source=train.en data.train.target=train.de \
        'data.additional=[{source: other.zh, target: other.zh}]' data.train.take=100000

Options are those of `python -m translate.prepare`; the lines of data.additional[0], if it is given, are text in a third
language. One pair in five is made bad, the kinds in turn. Each filter works alone, after the rules that are on by
default. Prints Markdown tables: what the filters drop of each kind, and CPU seconds per million pairs.
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
CLEAN = "clean"
ANSWER_ALL = "import sys\nfor _ in sys.stdin: print(1)"
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
    "command": FilterConfig(command=[sys.executable, "-c", ANSWER_ALL]),
    "near_duplicates=0.7": FilterConfig(near_duplicates=0.7),
    "near_duplicates=0.8": FilterConfig(near_duplicates=0.8),
}
Pair = tuple[str, str]


def plant(pairs: Sequence[Pair], foreign: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """Pairs of which one in five is bad, and the kind of each; the same at each call."""
    chosen = random.Random(1)
    planted, kinds = list(pairs), [CLEAN] * len(pairs)
    bad = chosen.sample(range(100, len(pairs) - 1), int(BAD_SHARE * len(pairs)))
    good = sorted(set(range(len(pairs))) - set(bad))
    names = ["other side's language", *(["third language"] if foreign else []), "shifted", "near-duplicate", "repeated"]
    for index, kind in zip(bad, itertools.cycle(names)):
        source, target = pairs[index]
        if kind == "other side's language":
            planted[index] = (source, pairs[index - 1][0])
        elif kind == "third language":
            planted[index] = (source, chosen.choice(foreign))
        elif kind == "shifted":
            planted[index] = (source, pairs[index + 1][1])
        elif kind == "repeated":
            planted[index] = (source, looped(target, chosen))
        else:
            # an earlier good pair: of two like pairs, the first one stays
            source, target = pairs[good[chosen.randrange(bisect(good, index))]]
            planted[index] = (shortened(source, chosen), shortened(target, chosen))
        kinds[index] = kind
    return planted, kinds


def shortened(line: str, chosen: random.Random) -> str:
    """The line without one to six characters somewhere."""
    length = min(6, max(1, len(line) // 12))
    start = chosen.randrange(max(1, len(line) - length))
    return line[:start] + line[start + length :]


def looped(line: str, chosen: random.Random) -> str:
    """The line as a model writes it that gets caught in a loop."""
    start = chosen.randrange(max(1, len(line) // 2))
    return line[:start] + (line[start : start + 12] + " ") * 5


def kept_lines(corpus: CorpusConfig, filters: FilterConfig) -> tuple[set[int], float]:
    """Lines that remain, from 1, and CPU seconds, child processes included."""
    # a score of 1 for all pairs, so that its price alone is measured
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
    rows, prices = [], []
    with tempfile.TemporaryDirectory() as folder:
        source, target, score = (Path(folder) / name for name in ("source", "target", "score"))
        write_lines(source, [pair[0] for pair in planted])
        write_lines(target, [pair[1] for pair in planted])
        write_lines(score, ["1"] * len(planted))
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
            prices.append((name, f"{(seconds - usual_seconds) / len(pairs) * 1e6:.1f}"))
        prices[0] = ("none: cleaning alone", f"{usual_seconds / len(pairs) * 1e6:.1f}")
    print(markdown_table(("filter", "dropped", "precision", *(f"of {kind}" for kind in unique(kinds))), rows))
    print()
    print(markdown_table(("filter", "CPU seconds per million pairs"), prices))


def unique(kinds: Sequence[str]) -> list[str]:
    """The kinds in alphabetical order, clean pairs last."""
    return sorted(set(kinds), key=lambda kind: (kind == CLEAN, kind))


if __name__ == "__main__":
    run_command("prepare", PrepareConfig, measure)
