"""Writes the English-German corpus that ships in data/en-de; `--check` compares instead of writing.

python scripts/make_corpus.py [--output data/en-de] [--check]
"""

import argparse
import sys
from pathlib import Path

from corpus.splits import Corpus, make_corpus

DEFAULT_OUTPUT = Path(__file__).resolve().parent.parent / "data" / "en-de"


def corpus_files(corpus: Corpus) -> dict[str, bytes]:
    """Every file's name and bytes."""
    parts = {"train": corpus.train, "valid": corpus.valid, "test": [line.pair for line in corpus.test]}
    lines = {}
    for name, pairs in parts.items():
        lines[f"{name}.en"] = [pair.english for pair in pairs]
        lines[f"{name}.de"] = [pair.german for pair in pairs]
    lines["test.labels"] = [f"{line.phenomenon}\t{line.split}" for line in corpus.test]
    return {name: "".join(f"{line}\n" for line in rows).encode() for name, rows in lines.items()}


def different_files(files: dict[str, bytes], folder: Path) -> list[str]:
    """The names of the files that the folder lacks or holds with other bytes."""
    return [
        name for name, data in files.items() if not (folder / name).is_file() or (folder / name).read_bytes() != data
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the files differ")
    arguments = parser.parse_args()
    files = corpus_files(make_corpus())
    if arguments.check:
        different = different_files(files, arguments.output)
        print(f"different: {', '.join(different)}" if different else f"{arguments.output} is what this generator makes")
        return 1 if different else 0
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (arguments.output / name).write_bytes(data)
        lines = data.count(b"\n")
        print(f"{arguments.output / name}: {lines:,} lines, {len(data):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
