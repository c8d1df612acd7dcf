"""Measure a vocabulary: tokens and tokens per word of held-out text, and the seconds that learning it takes.

    python scripts/measure_vocabulary.py --train data/train.de data/train.en --held-out data/valid.de data/valid.en \
        --vocab-size 8000 --type bpe

Prints one line of a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace

import sentencepiece

from translate.data.corpora import CorpusConfig, DataConfig
from translate.data.prepare import prepare
from translate.text import read_lines
from translate.tokenizer_training import TokenizerConfig, TokenizerType


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs=2, required=True, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--held-out", nargs=2, required=True, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--type", type=TokenizerType, choices=list(TokenizerType), default=TokenizerType.unigram)
    parser.add_argument("--max-sentences", type=int)
    arguments = parser.parse_args()
    config = TokenizerConfig(vocab_size=arguments.vocab_size, type=arguments.type)
    if arguments.max_sentences is not None:
        config = replace(config, max_sentences=arguments.max_sentences)
    with tempfile.TemporaryDirectory() as cache:
        data = DataConfig(cache=cache, train=_corpus(arguments.train), valid=_corpus(arguments.held_out))
        start = time.monotonic()
        tokenizer = prepare(data, config).tokenizer
        seconds = time.monotonic() - start
    sides = [list(read_lines(path)) for path in arguments.held_out]
    words = [sum(len(line.split()) for line in side) for side in sides]
    encoded = tokenizer.encode_source(sides[0]), tokenizer.encode_target(sides[1])
    tokens = [sum(map(len, side)) for side in encoded]
    print(
        f"| {arguments.train[0]} | {config.type.value} | {tokenizer.source_vocab_size:,} | {sentencepiece.__version__} "
        f"| {sum(tokens):,} | {tokens[0] / words[0]:.3f} | {tokens[1] / words[1]:.3f} | {seconds:.0f} |"
    )


def _corpus(paths: list[str]) -> CorpusConfig:
    return CorpusConfig(source=paths[0], target=paths[1])


if __name__ == "__main__":
    main()
