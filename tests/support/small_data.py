"""400 pairs of made-up sentences in files, for tests of the preparation of data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.text import write_lines
from translate.tokenizer_training import TokenizerConfig

SYLLABLES = ("ba", "dor", "ken", "li", "mu", "nas", "pi", "rel", "so", "tun", "vo", "zet")
WORDS = [first + second for first in SYLLABLES for second in SYLLABLES]
SOURCE = [" ".join(np.random.default_rng(n).choice(WORDS, 4 + n % 9)) + "." for n in range(400)]
TARGET = [f"Ü {line.upper()}" for line in SOURCE]
TOKENIZER = TokenizerConfig(vocab_size=500)


def make_data(folder: Path, source: list[str], target: list[str]) -> DataConfig:
    """Write the pairs as training text, and the first five of SOURCE and TARGET as validation set."""
    return DataConfig(
        cache=f"{folder}/cache",
        train=write_pairs(folder / "train", source, target),
        valid=write_pairs(folder / "valid", SOURCE[:5], TARGET[:5]),
    )


def write_pairs(stem: Path, source: list[str], target: list[str]) -> CorpusConfig:
    write_lines(f"{stem}.xx", source)
    write_lines(f"{stem}.yy", target)
    return CorpusConfig(source=f"{stem}.xx", target=f"{stem}.yy")


def cache_state(data: DataConfig) -> dict[str, tuple[int, int]]:
    """Time of writing, in nanoseconds, and inode of every file of the cache."""
    files = (path for path in Path(data.cache).rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}
