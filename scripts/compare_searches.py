"""Decode a test set with each of many options, and print scores and speeds as a table.

    python scripts/compare_searches.py runs/mine test.en test.de [--rows scripts/searches.yaml] [--output FOLDER]

Speed is lines per second of CPU time of one thread, loading and a first batch left out: it hardly depends on what else
the machine does, and rows compare with each other only. Translations go to FOLDER, if it is given; rows whose
translations are there are not decoded again, but have no speed.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.config.calls import configured
from translate.console import markdown_table
from translate.data.corpus import one_or_several
from translate.decode import DecodeConfig
from translate.decoding.translator import Translator
from translate.engines import load_constraints, make_translator, open_engine
from translate.evaluation.metrics import score
from translate.parsing import read_yaml
from translate.text import read_lines

_ROWS = Path(__file__).parent / "searches.yaml"
_WARM_UP = 20  # lines


@dataclass(frozen=True)
class Row:
    """A row of the table: translations, and lines per second of CPU time; None: not measured now."""

    name: str
    translations: list[str]
    speed: float | None


def decode(name: str, options: dict[str, Any], model: str, lines: list[str]) -> Row:
    """Translate lines with the options of a row."""
    given = {"model": model, "threads": 1, "workers": 1, **options}
    with configured("decode", DecodeConfig, given, choices={}, additions={}) as config:
        paths = one_or_several(config.model, key="model")
        engine, tokenizer, manifest = open_engine(paths, config)

        def translator() -> Translator:
            constraints = load_constraints(config, tokenizer, manifest, max_length=engine.max_length)
            return make_translator(paths, engine, tokenizer, manifest, config, constraints=constraints)

        translator().translate(lines[:_WARM_UP])
        measured = translator()  # whose prefixes begin with the first line
        start = time.process_time()
        found = measured.translate(lines)
        seconds = time.process_time() - start
    return Row(name, [translation.text for translation in found], len(lines) / seconds)


def cells(row: Row, references: list[str]) -> list[str]:
    """The row's name, scores and speed."""
    scores = score(row.translations, [references])
    values = [f"{each.value:.1f}" for each in scores.values()]
    return [f"`{row.name}`", *values, "" if row.speed is None else f"{row.speed:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("source", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--rows", type=Path, default=_ROWS)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    lines, references = list(read_lines(str(arguments.source))), list(read_lines(str(arguments.reference)))
    table = []
    for name, options in read_yaml(arguments.rows).items():
        file = arguments.output / f"{re.sub('[^a-z0-9]+', '-', name)}.txt" if arguments.output else None
        if file is not None and file.is_file():
            row = Row(name, list(read_lines(str(file))), None)
        else:
            row = decode(name, options or {}, arguments.model, lines)
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("".join(f"{line}\n" for line in row.translations), encoding="utf-8")
        table.append(cells(row, references))
        print(*table[-1], flush=True)  # rows as they come
    print(markdown_table(["options", "BLEU", "chrF2", "TER", "lines/s"], table, escaped=True))


if __name__ == "__main__":
    main()
