"""Write the English-German corpus that ships in data/en-de; `--check` compares instead of writing.

python scripts/make_corpus.py [--output data/en-de] [--check]
"""

import argparse
import sys
from pathlib import Path

from corpus.splits import make_corpus


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent.parent / "data" / "en-de")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the files differ")
    arguments = parser.parse_args()
    files = make_corpus()
    if arguments.check:
        paths = {name: arguments.output / name for name in files}
        different = [name for name, path in paths.items() if not path.is_file() or path.read_bytes() != files[name]]
        print(f"different: {', '.join(different)}" if different else f"{arguments.output} is what this generator makes")
        return 1 if different else 0
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (arguments.output / name).write_bytes(data)
        print(f"{arguments.output / name}: {len(data.splitlines()):,} lines, {len(data):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
