"""How fast and in how much memory prepare() works: python scripts/benchmark_data.py 100000 1000000

Makes that many pairs of made-up sentences in a temporary folder, prepares them in a process of its own, and
prints seconds (per million pairs) and the peak of resident memory, then the same of a second run, from the
cache.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from translate.data.corpora import CorpusConfig, DataConfig
from translate.data.prepare import prepare
from translate.text import write_lines
from translate.tokenizer_training import TokenizerConfig

_NUM_WORDS = 200_000
_CHUNK = 50_000
_VALID_PAIRS = 1000


def made_up_words(seed: int) -> np.ndarray:
    """Words of syllables, the frequent ones short, as in a language."""
    random = np.random.default_rng(seed)
    syllables = [consonant + vowel for consonant in "bdfghklmnprstvwz" for vowel in ("a", "e", "i", "o", "ü", "en")]
    lengths = 1 + np.minimum(5, np.log10(np.arange(1, _NUM_WORDS + 1)).astype(int))
    drawn = random.integers(len(syllables), size=(_NUM_WORDS, 6))
    return np.array(["".join(syllables[s] for s in row[:n]) for row, n in zip(drawn, lengths, strict=True)])


def made_up_lines(count: int, *, seed: int) -> Iterator[str]:
    """Sentences of Zipf-distributed words; their lengths vary about a median of eleven."""
    words = made_up_words(seed)
    random = np.random.default_rng(seed + 1)
    cumulative = np.cumsum(1 / np.arange(2.7, _NUM_WORDS + 2.7))
    for start in range(0, count, _CHUNK):
        lengths = np.clip(random.lognormal(np.log(11), 0.5, min(_CHUNK, count - start)), 2, 80).astype(int)
        places = np.searchsorted(cumulative, random.random(lengths.sum()) * cumulative[-1])
        ends = np.cumsum(lengths)
        chosen = words[places].tolist()
        for end, length in zip(ends.tolist(), lengths.tolist(), strict=True):
            yield " ".join(chosen[end - length : end]).capitalize() + "."


def write_corpus(folder: Path, count: int) -> None:
    for seed, language in ((1, "xx"), (1001, "yy")):
        write_lines(folder / f"train.{language}", made_up_lines(count, seed=seed))
        write_lines(folder / f"valid.{language}", made_up_lines(_VALID_PAIRS, seed=seed + 10))


def measure(folder: Path) -> dict[str, float]:
    """Prepare the corpus in this process."""
    train = CorpusConfig(source=f"{folder}/train.xx", target=f"{folder}/train.yy")
    valid = CorpusConfig(source=f"{folder}/valid.xx", target=f"{folder}/valid.yy")
    # Both sides are made up independently, so their lengths do not agree as those of translations do.
    data = DataConfig(train=train, valid=valid, cache=f"{folder}/cache")
    data.cleaning.max_ratio = 0
    started = time.monotonic()
    prepared = prepare(data, TokenizerConfig())
    seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "gigabytes": used.ru_maxrss * unit / 1e9,
        "kept": len(prepared.train),
    }


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        logging.basicConfig(level=logging.INFO, format="  %(message)s")
        print(json.dumps(measure(Path(sys.argv[2]))))
        return
    for count in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as name:
            write_corpus(Path(name), count)
            command = [sys.executable, __file__, "--measure", name]
            first, again = (json.loads(subprocess.run(command, check=True, stdout=-1).stdout) for _ in range(2))
        print(
            f"{count:>12,} pairs on {os.cpu_count()} cores: {first['seconds']:7.1f} s "
            f"({first['seconds'] / count * 1e6:.1f} s per million; {first['cpu_seconds']:.1f} s of processors), "
            f"peak {first['gigabytes']:.2f} GB, {first['kept']:,} kept; "
            f"from the cache {again['seconds']:.2f} s, peak {again['gigabytes']:.2f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
