"""Made-up sentence pairs for measuring the preparation of data."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from translate.text import write_lines

_NUM_WORDS = 200_000
_LINES_AT_ONCE = 50_000


def write_corpus(folder: Path, pairs: int) -> None:
    """Files train.xx, train.yy, valid.xx and valid.yy of a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, language in ((1, "xx"), (1001, "yy")):
        write_lines(folder / f"train.{language}", made_up_lines(pairs, seed=seed))
        write_lines(folder / f"valid.{language}", made_up_lines(1000, seed=seed + 10))


def made_up_lines(count: int, *, seed: int) -> Iterator[str]:
    """Sentences of made-up words whose frequencies follow Zipf's law; their lengths vary about a median of eleven."""
    random = np.random.default_rng(seed)
    syllables = [consonant + vowel for consonant in "bdfghklmnprstvwz" for vowel in ("a", "e", "i", "o", "ü", "en")]
    # the frequent words are short, as in a language
    sizes = 1 + np.minimum(5, np.log10(np.arange(1, _NUM_WORDS + 1)).astype(int))
    drawn = random.integers(len(syllables), size=(_NUM_WORDS, 6))
    words = np.array(["".join(syllables[s] for s in row[:n]) for row, n in zip(drawn, sizes, strict=True)])
    cumulative = np.cumsum(1 / np.arange(2.7, _NUM_WORDS + 2.7))
    for start in range(0, count, _LINES_AT_ONCE):
        lengths = np.clip(random.lognormal(np.log(11), 0.5, min(_LINES_AT_ONCE, count - start)), 2, 80).astype(int)
        ranks = np.searchsorted(cumulative, random.random(lengths.sum()) * cumulative[-1])
        for sentence in np.split(words[ranks], np.cumsum(lengths)[:-1]):
            yield " ".join(sentence).capitalize() + "."
