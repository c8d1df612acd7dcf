"""Measure a vocabulary: tokens and tokens per word of the validation set, and the seconds that learning it takes.

    python scripts/measure_vocabulary.py data.train.source=train.de data.train.target=train.en \
        data.valid.source=valid.de data.valid.target=valid.en tokenizer.vocab_size=8000 tokenizer.type=bpe

Options are those of `python -m translate.prepare`, but the cache is always a new one. Prints one line of a Markdown
table.
"""

import tempfile
import time
from dataclasses import replace

import sentencepiece

from translate.config import run_command
from translate.data.prepare import prepare
from translate.prepare import PrepareConfig


def measure(config: PrepareConfig) -> None:
    with tempfile.TemporaryDirectory() as cache:
        start = time.monotonic()
        prepared = prepare(replace(config.data, cache=cache), config.tokenizer)
        seconds = time.monotonic() - start
    tokenizer, sides = prepared.tokenizer, (prepared.valid.source, prepared.valid.target)
    words = [sum(len(line.split()) for line in side) for side in sides]
    tokens = [sum(map(len, side)) for side in (tokenizer.encode_source(sides[0]), tokenizer.encode_target(sides[1]))]
    print(
        f"| {config.data.train.source} | {config.tokenizer.type} | {tokenizer.source_vocab_size:,} "
        f"| {sentencepiece.__version__} | {sum(tokens):,} | {tokens[0] / words[0]:.3f} | {tokens[1] / words[1]:.3f} "
        f"| {seconds:.0f} |"
    )


if __name__ == "__main__":
    run_command("prepare", PrepareConfig, measure)
