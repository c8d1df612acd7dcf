"""Measure the monitor: false alarms on random pieces of one text, and drift found in windows with other lines mixed in.

    python scripts/measure_drift.py --model runs/shipped --source data/en-de/test.en \
        --other data/en-de/test.de --other other-domain.txt

The text is translated once. In every trial its lines are divided at random: one half is the baseline, the window is
drawn from the other. Lines in capitals are made of the text itself; --other names files of further lines to mix in.
Prints Markdown tables.
"""

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from translate.console import markdown_table
from translate.decoding.config import DecodingConfig, EngineName
from translate.engines import load_translator
from translate.monitoring.drift import compare_values, values_of
from translate.monitoring.features import FeatureExtractor, LineFeatures
from translate.text import read_lines

LEVEL = 0.01
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--source", required=True, help="lines that the model is used for")
    parser.add_argument("--other", action="append", default=[], metavar="FILE", help="lines to mix in")
    parser.add_argument("--lines", type=int, default=500, help="of each file of other lines, at most")
    parser.add_argument("--windows", type=int, nargs="+", default=[100, 250, 500], metavar="LINES")
    parser.add_argument("--trials", type=int, default=1000, help="pieces of the text itself, for each size")
    parser.add_argument("--planted", type=int, default=100, help="windows with other lines, for each share")
    parser.add_argument("--engine", type=EngineName, default=EngineName.native)
    arguments = parser.parse_args()
    source = [line for line in read_lines(arguments.source) if line.strip()]
    texts = {"capitals": [line.upper() for line in source[:: max(1, len(source) // arguments.lines)]]}
    texts |= {Path(path).name: list(read_lines(path))[: arguments.lines] for path in arguments.other}
    translator = load_translator(arguments.model, DecodingConfig(engine=arguments.engine))
    extract = FeatureExtractor.of_translator(translator)
    usual = extract(source, translator.translate(source))
    planted = {name: extract(lines, translator.translate(lines)) for name, lines in texts.items()}
    print(f"{len(source):,} lines of {arguments.source}\n")
    print(false_alarms(usual, arguments.windows, trials=arguments.trials))
    print()
    print(found_drift(usual, planted, arguments.windows, trials=arguments.planted))


def false_alarms(lines: Sequence[LineFeatures], sizes: Sequence[int], *, trials: int) -> str:
    """Pieces of the text in which anything has drifted; and by p-value alone, without a least distance."""
    rows, drawing = [], random.Random(1)
    for size in sizes:
        alarms = significant = 0
        by_measure: Counter[str] = Counter()
        for _ in range(trials):
            baseline, rest = halves(lines, drawing)
            findings = compare_values(values_of(baseline), values_of(rest[:size]), level=LEVEL)
            drifts = [finding.measure.name for finding in findings if finding.is_drift]
            by_measure.update(drifts)
            alarms += bool(drifts)
            significant += any(finding.p_value < LEVEL for finding in findings)
        measures = ", ".join(f"{name} {count}" for name, count in by_measure.most_common())
        rows.append((f"{size:,}", f"{trials:,}", f"{alarms:,}", f"{alarms / trials:.1%}", f"{significant:,}", measures))
    return markdown_table(("window", "pieces", "alarms", "share", "significant alone", "measures"), rows)


def found_drift(
    lines: Sequence[LineFeatures],
    planted: dict[str, list[LineFeatures]],
    sizes: Sequence[int],
    *,
    trials: int,
) -> str:
    """Share of windows that have drifted, by the share of other lines in them."""
    rows, drawing = [], random.Random(2)
    for name, others in planted.items():
        for size in sizes:
            found = [
                sum(_is_found(lines, others, size=size, share=share, drawing=drawing) for _ in range(trials)) / trials
                for share in SHARES
            ]
            rows.append((name, f"{size:,}", *(f"{share:.0%}" for share in found)))
    return markdown_table(("other lines", "window", *(f"{share:.0%}" for share in SHARES)), rows)


def _is_found(
    lines: Sequence[LineFeatures],
    others: Sequence[LineFeatures],
    *,
    size: int,
    share: float,
    drawing: random.Random,
) -> bool:
    baseline, rest = halves(lines, drawing)
    count = round(share * size)
    window = drawing.choices(others, k=count) + rest[: size - count]
    return any(finding.is_drift for finding in compare_values(values_of(baseline), values_of(window), level=LEVEL))


def halves(lines: Sequence[LineFeatures], drawing: random.Random) -> tuple[list[LineFeatures], list[LineFeatures]]:
    """The lines in two halves, divided at random."""
    shuffled = drawing.sample(lines, len(lines))
    return shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]


if __name__ == "__main__":
    main()
