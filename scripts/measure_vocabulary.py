"""Measure a vocabulary: tokens and tokens per word of held-out text, and the seconds that learning it takes.

    python scripts/measure_vocabulary.py --train data/train.de data/train.en --held-out data/valid.de data/valid.en \
        --vocab-size 8000 --type bpe

Prints one line of a Markdown table.
"""

import argparse
import tempfile
import time

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
    parser.add_argument("--max-sentences", type=int, default=TokenizerConfig.max_sentences)
    arguments = parser.parse_args()
    options = {"type": arguments.type, "max_sentences": arguments.max_sentences}
    train, valid = (CorpusConfig(source=paths[0], target=paths[1]) for paths in (arguments.train, arguments.held_out))
    with tempfile.TemporaryDirectory() as cache:
        start = time.monotonic()
        config = TokenizerConfig(vocab_size=arguments.vocab_size, **options)
        tokenizer = prepare(DataConfig(cache=cache, train=train, valid=valid), config).tokenizer
        seconds = time.monotonic() - start
    sides = [list(read_lines(path)) for path in arguments.held_out]
    words = [sum(len(line.split()) for line in side) for side in sides]
    tokens = [sum(map(len, side)) for side in (tokenizer.encode_source(sides[0]), tokenizer.encode_target(sides[1]))]
    print(
        f"| {arguments.train[0]} | {arguments.type} | {tokenizer.source_vocab_size:,} | {sentencepiece.__version__} "
        f"| {sum(tokens):,} | {tokens[0] / words[0]:.3f} | {tokens[1] / words[1]:.3f} | {seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
