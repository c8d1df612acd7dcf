"""Growth: what a token costs our own system as lengths, vocabulary, beam, batches and corpora grow."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.protocol import AbsentError
from benchmarks.report import Report
from benchmarks.session import Session, System

LENGTH, VOCABULARY, BEAM, BATCH, PAIRS = "sentence length", "vocabulary", "beam", "batch", "corpus"
_UNITS = {
    LENGTH: "tokens of every sentence",
    VOCABULARY: "pieces",
    BEAM: "hypotheses of a sentence",
    BATCH: "tokens at a time",
    PAIRS: "sentence pairs",
}
_COLOURS = {"training": "#0072b2", "decoding": "#d55e00", "preparing": "#009e73", "batching": "#cc79a7"}
_SENTENCES = 8  # decoded together, whatever their length


@dataclass(frozen=True)
class Point:
    """One measurement: training an update, decoding a batch, or preparing a corpus (whose tokens are its pairs).

    tokens    of an update's target side, or of all translations of a batch
    """

    kind: str
    axis: str
    length: int = 32
    vocabulary: int = 8000
    beam: int = 5
    tokens: int = 1024
    pairs: int = 0

    @property
    def place(self) -> int:
        """Where it stands on its axis."""
        by_axis = {
            LENGTH: self.length,
            VOCABULARY: self.vocabulary,
            BEAM: self.beam,
            BATCH: self.tokens,
            PAIRS: self.pairs,
        }
        return by_axis[self.axis]


def points(largest_corpus: int) -> list[Point]:
    training, decoding = Point("training", "", tokens=2048), Point("decoding", "", tokens=1024)
    found: list[Point] = []
    for kind in (training, decoding):
        for length in (16, 64, 256, 1024):
            tokens = kind.tokens if kind is training else _SENTENCES * length
            found.append(replace(kind, axis=LENGTH, length=length, tokens=tokens))
        found += [replace(kind, axis=VOCABULARY, vocabulary=size) for size in (4000, 16_000, 64_000)]
        found += [replace(kind, axis=BATCH, tokens=tokens) for tokens in (64, 512, 4096)]
    found += [replace(decoding, axis=BEAM, tokens=512, beam=beam) for beam in (1, 2, 4, 8, 16, 32)]
    sizes = [size for size in (10_000, 30_000, 100_000, 300_000, 1_000_000) if size <= largest_corpus]
    return found + [Point(kind, PAIRS, pairs=size) for size in sizes for kind in ("preparing", "batching")]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--largest-corpus", type=int, default=100_000, help="sentence pairs that are prepared")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of each measurement; what takes longer is done once"
    )
    parser.add_argument("--axes", nargs="*", default=[], choices=list(_UNITS), help="some of them; all if empty")


def run(arguments: argparse.Namespace, session: Session) -> Report:
    report = Report("growth", {"made up": True}, session.threads, versions=session.versions, absent=session.absent)
    report.headings = ("work", "axis", "at", "microseconds a token", "bytes a token")
    measured: list[tuple[Point, dict[str, float]]] = []
    for point in points(arguments.largest_corpus):
        if arguments.axes and point.axis not in arguments.axes:
            continue
        if found := _measure(point, arguments, session):
            measured.append((point, found))
            report.rows.append((point.kind, point.axis, point.place, 1e6 * found["seconds"], found["bytes"]))
    report.results["points"] = [{**vars(point), **found} for point, found in measured]
    plot(measured, arguments.output / "growth.png")
    report.results["exponents"] = {f"{kind}, {axis}": value for (kind, axis), value in exponents(measured).items()}
    for name, exponent in report.results["exponents"].items():
        report.notes.append(
            f"{name}: over the last step, seconds a token go with its power {exponent['seconds']:.2f}, "
            f"bytes a token with {exponent['bytes']:.2f}"
        )
    report.notes.append(
        "Untrained models (width 256, 3 + 3 layers) and made-up sentences, fixed seeds, each point in a new process. "
        "Bytes are the peak above what the idle model has in memory. For corpora a token is a sentence pair. "
        f"Plot: {arguments.output / 'growth.png'}"
    )
    return report


def _measure(point: Point, arguments: argparse.Namespace, session: Session) -> dict[str, float] | None:
    name = f"{point.kind} at {point.axis} {point.place}"
    settings: dict[str, Any] = {
        **vars(point),
        "threads": session.threads,
        "device": arguments.device,
        "minimum": arguments.seconds,
        "folder": str(session.output.absolute() / "made-up-pairs"),
    }
    try:
        worker = session.start(name.replace(" ", "-"), System("ours_growth"), settings)
    except AbsentError as reason:
        session.leave_out(name, str(reason))
        return None
    worker.close()
    session.versions.clear()
    session.versions["ours"] = worker.facts["versions"]
    print(f"  {name}: {1e6 * worker.facts['seconds']:.3g} µs, {worker.facts['bytes']:,.0f} bytes a token", flush=True)
    return {key: worker.facts[key] for key in ("seconds", "bytes")}


def exponents(measured: Sequence[tuple[Point, dict[str, float]]]) -> dict[tuple[str, str], dict[str, float]]:
    """By kind and axis, the slope of the last step between logarithms: 0 where a token costs the same everywhere."""
    series: dict[tuple[str, str], list[tuple[int, dict[str, float]]]] = {}
    for point, found in measured:
        series.setdefault((point.kind, point.axis), []).append((point.place, found))
    slopes = {}
    for key, values in series.items():
        if len(values) > 1:
            (x1, first), (x2, last) = values[-2:]
            slopes[key] = {
                what: math.log(max(last[what], 1e-12) / max(first[what], 1e-12)) / math.log(x2 / x1) for what in first
            }
    return slopes


def plot(measured: Sequence[tuple[Point, dict[str, float]]], path: Path) -> None:
    """A column for each axis, time above and memory below, both logarithmic; panels of tokens share their scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    axes = [axis for axis in _UNITS if any(point.axis == axis for point, _ in measured)]
    if not axes:
        return
    figure, grid = pyplot.subplots(2, len(axes), figsize=(3.2 * len(axes), 6), squeeze=False, constrained_layout=True)
    for row, (what, scale, label) in enumerate((("seconds", 1e6, "µs"), ("bytes", 1e-3, "kB"))):
        for column, axis in enumerate(axes):
            panel = grid[row][column]
            panel.set_title("" if row else axis)
            panel.set_xlabel(_UNITS[axis] if row else "")
            panel.set_ylabel(f"{label} a pair" if axis == PAIRS else f"{label} a token")
            _draw(panel, [(p, scale * f[what]) for p, f in measured if (p.axis == PAIRS) == (axis == PAIRS)], axis)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _draw(panel: Any, alike: Sequence[tuple[Point, float]], axis: str) -> None:
    """One axis's values; all that are alike decide the scale."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    values = [value for _, value in alike if value]
    for kind, colour in _COLOURS.items():
        series = [(point.place, value) for point, value in alike if (point.axis, point.kind) == (axis, kind) and value]
        if series:
            panel.plot(*zip(*series, strict=True), "o-", color=colour, label=kind, linewidth=1.5, markersize=4)
    places = sorted({point.place for point, _ in alike if point.axis == axis})
    panel.set(xscale="log", yscale="log", ylim=(min(values) / 1.5, max(values) * 1.5))
    panel.minorticks_off()
    panel.set_xticks(places, [_short(place) for place in places])
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8)


def _short(number: int) -> str:
    return f"{number // 1000}k" if number >= 1000 and number % 1000 == 0 else str(number)
