"""Peak memory of each system; and growth: what a token costs ours as lengths, vocabulary, beam and batches grow.

The driver reads the memory of the workers as Linux accounts for it in /proc.
"""

import argparse
import json
import math
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks import decoding, training
from benchmarks.adapters.ours import made_up_sentences
from benchmarks.made_up_text import write_corpus
from benchmarks.protocol import Message
from benchmarks.report import OURS
from benchmarks.session import SYSTEMS, Session, System, Worker, choose
from benchmarks.work import TrainingWork
from translate.errors import UserError

MEGABYTE = 1e6
_INTERVAL = 0.05  # seconds between samples of a process tree
# what the speed benchmark tends to choose; 0: as many as there are threads. Ours has its default
_SETTINGS = {"huggingface": {"sentences": 64}, "ctranslate2": {"inter_threads": 0, "intra_threads": 1, "sentences": 32}}
AXES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("growth.yaml").read_text())


def add_memory_options(parser: argparse.ArgumentParser) -> None:
    training.add_options(parser, required=False)
    decoding.add_options(parser, required=False)
    parser.add_argument("--seconds", type=float, default=30.0, help="of training with each system")


def run_memory(arguments: argparse.Namespace, session: Session) -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        raise UserError("memory can only be measured on Linux")
    if not arguments.data and not (arguments.model and arguments.source and arguments.reference):
        raise UserError("give --data to measure training, --model with --source and --reference for decoding, or both")
    session.headings = ("system", "peak of its process, MB", "peak of all its processes, MB", "setting")
    if arguments.data:
        work, data = training.make_work(arguments, session)
        for name, system in choose("training", arguments.systems, known=SYSTEMS["decoding"]).items():
            settings = training.settings_of(system, work, data)
            _measure_memory(session, f"{name} (training)", system, settings, {"run": arguments.seconds})
    if arguments.model:
        base = decoding.model_settings(arguments, session)
        names = arguments.systems or decoding.default_systems(arguments.device)
        for name, system in choose("decoding", names, known=SYSTEMS["training"]).items():
            setting = {key: value or session.threads for key, value in _SETTINGS.get(system.adapter, {}).items()}
            request = {"setting": setting, "beam": arguments.beam, "limit": arguments.limit}
            settings = decoding.settings_of(system, base)
            _measure_memory(session, f"{name} (decoding)", system, settings, request)
    session.notes.append(
        "The peak of a process is its resident memory, libraries included; that of all processes is sampled, and "
        "counts shared memory once. Each system ran alone."
    )


def _measure_memory(session: Session, name: str, system: System, settings: Message, request: Message) -> None:
    with session.leaving_out(name), session.workers({name: system}, lambda system: settings) as workers:
        if worker := workers.get(name):
            tree = tree_peak(worker, request)
            own, setting = memory_of(worker.process.pid, "VmHWM"), request.get("setting", {})
            session.rows.append((name, own / MEGABYTE, tree / MEGABYTE, decoding.described(setting)))
            session.results[name] = {"process": own, "tree": tree, "setting": setting}


def tree_peak(worker: Worker, request: Message) -> int:
    """The highest sample of the memory of a worker and its children while it answers a request, in bytes."""
    with ThreadPoolExecutor() as threads:
        answer, peak = threads.submit(worker.ask, request), 0
        while not answer.done():
            peak = max(peak, tree_memory(worker.process.pid))
            wait([answer], _INTERVAL)
    answer.result()  # raises the error of a worker that has ended
    return peak


def tree_memory(pid: int) -> int:
    """Bytes of a process and all that it and its children have started; shared memory counts once."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):  # it has ended meanwhile
                found += map(int, children.read_text().split())
    return sum(memory_of(process, "Pss") for process in found)


def memory_of(pid: int, key: str) -> int:
    """Bytes of a process: VmRSS, resident now; VmHWM, its peak; Pss, with its share of shared memory. 0: it ended."""
    try:
        content = Path(f"/proc/{pid}/{'smaps_rollup' if key == 'Pss' else 'status'}").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{key}:\s+(\d+) kB", content, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


@dataclass(frozen=True)
class Point:
    """One measurement of training an update, decoding a batch, or preparing a corpus: a value on one axis.

    seconds, bytes  of a token, or of a pair of a corpus
    peak            bytes of the whole process
    """

    kind: str
    axis: str
    value: int
    seconds: float = 0.0
    bytes: float = 0.0
    peak: int = 0

    def size(self, axis: str) -> int:
        """The value on any axis; batch counts tokens of the target side."""
        if axis == self.axis:
            return self.value
        if axis == "batch" and (self.kind, self.axis) == ("decoding", "length"):
            return 8 * self.value  # as many sentences, whatever their length
        batch = 2048 if self.kind == "training" else 512 if self.axis == "beam" else 1024
        return batch if axis == "batch" else int(AXES[axis]["usual"])


def points(largest_corpus: int) -> list[Point]:
    """All points; those of corpora are sorted by size, since all kinds of work on one need its files."""
    found = [
        Point(kind, axis, value)
        for axis, settings in AXES.items()
        for kind, values in settings["values"].items()
        for value in values
        if axis != "corpus" or value <= largest_corpus
    ]
    return sorted(found, key=lambda point: point.value if point.axis == "corpus" else 0)


def add_growth_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--largest-corpus", type=int, default=100_000, help="sentence pairs that are prepared")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement; longer work is done once")
    parser.add_argument("--axes", nargs="*", default=list(AXES), choices=list(AXES), help="some of them")


def run_growth(arguments: argparse.Namespace, session: Session) -> None:
    session.headings = ("work", "axis", "at", "µs per token", "power", "bytes per token", "power", "peak, MB")
    measured: list[Point] = []
    for point in points(arguments.largest_corpus):
        if point.axis in arguments.axes:
            with session.leaving_out(f"{point.kind} at {point.axis} {point.value}"):
                found = measure_point(point, arguments, session)
                before = [p for p in measured if (p.kind, p.axis) == (found.kind, found.axis)]
                time, memory = exponents(before[-1], found) if before else (None, None)
                costs = (1e6 * found.seconds, time, found.bytes, memory, found.peak / MEGABYTE)
                session.rows.append((found.kind, found.axis, found.value, *costs))
                measured.append(found)
                print(f"  {found}", flush=True)
    session.results["points"] = [asdict(point) for point in measured]
    plot(measured, session.output / "growth.png")
    session.notes.append(
        "Untrained models (width 256, 3 + 3 layers) and made-up sentences, fixed seeds, each point in a new process. "
        "Bytes are the peak above the memory of the idle model. For corpora a token is a sentence pair. Power: the "
        "slope from the point before, between logarithms; 0 where a token costs the same. "
        f"Plot: {session.output / 'growth.png'}"
    )


def exponents(before: Point, after: Point) -> tuple[float, float]:
    """Slopes of seconds and bytes per token, between logarithms."""
    pairs, step = ((before.seconds, after.seconds), (before.bytes, after.bytes)), math.log(after.value / before.value)
    seconds, size = (math.log(max(b, 1e-12) / max(a, 1e-12)) / step for a, b in pairs)
    return seconds, size


def measure_point(point: Point, arguments: argparse.Namespace, session: Session) -> Point:
    """The fastest of two measurements, and the memory of the first."""
    where = {"device": arguments.device, "threads": session.threads}
    make_work = _preparation if point.axis == "corpus" else _made_up_work
    settings, warm_up, request, tokens = make_work(point, session, where)
    worker, _ = session.start(OURS, System(OURS), settings | where)
    pid = worker.process.pid
    try:
        if warm_up:
            worker.ask(warm_up)
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins again at the resident memory
        idle = memory_of(pid, "VmRSS")
        # memory is that of the first time, in which nothing is left over from an earlier one
        seconds = [_seconds(worker.ask(request | {"run": 0}))]
        peak = memory_of(pid, "VmHWM")
        if seconds[0] < arguments.seconds and point.kind != "preparing":  # whose second time finds the cache
            seconds.append(_seconds(worker.ask(request | {"run": arguments.seconds})))
    finally:
        worker.close()
    return replace(point, seconds=min(seconds) / tokens, bytes=max(0, peak - idle) / tokens, peak=peak)


def _seconds(answer: Message) -> float:
    """Of one update, of decoding one batch, or of preparing a corpus."""
    found = answer["seconds"]
    return float(found[0] if isinstance(found, list) else found / answer.get("updates", 1))


def _made_up_work(point: Point, session: Session, where: Message) -> tuple[Message, Message, Message, int]:
    """A worker's settings, the request after which it is warm, the one that is measured, and the tokens of that."""
    length, vocabulary, tokens = (point.size(axis) for axis in ("length", "vocabulary", "batch"))
    work = TrainingWork(vocab_size=vocabulary, tokens=tokens, attention_dropout=0.0, precision="auto", **where)
    settings, count = {"work": asdict(work), "length": length}, max(1, tokens // length)
    if point.kind == "training":
        return settings | {"task": "train"}, {}, {}, count * length
    path = session.output / "sentences.json"
    path.write_text(json.dumps([ids.tolist() for ids in made_up_sentences(vocabulary, count, length)]))
    setting = {"batch_tokens": count * (length + 1), "length": length}
    request: Message = {"beam": point.size("beam"), "setting": setting}
    short = request | {"limit": 1, "setting": setting | {"length": 1}}
    return settings | {"task": "decode", "sentences": str(path)}, short, request, count * length


def _preparation(point: Point, session: Session, where: Message) -> tuple[Message, Message, Message, int]:
    folder = session.output / "made-up-pairs"
    if point.kind == "preparing":
        shutil.rmtree(folder, ignore_errors=True)
        write_corpus(folder, point.value)
    data: Message = {"folder": str(folder), "splits": ["train", "valid"], "languages": ["xx", "yy"]}
    data["cache"] = f"{folder}/cache"
    data["max_ratio"] = 0  # the sides are made up independently, so that their lengths do not agree
    return {"task": "prepare_data", "data": data, "batching": point.kind == "batching"}, {}, {}, point.value


def plot(measured: Sequence[Point], path: Path) -> None:
    """A column for each axis, time above and memory below, all logarithmic and a row to one scale."""
    from matplotlib.figure import Figure  # here, since no other part needs it

    axes = list(dict.fromkeys(point.axis for point in measured))
    figure = Figure(figsize=(3.2 * len(axes), 6), layout="constrained")
    grid = figure.subplots(2, len(axes), squeeze=False, sharey="row")
    for row, (cost, scale, unit) in enumerate((("seconds", 1e6, "µs"), ("bytes", 1e-3, "kB"))):
        for panel, axis in zip(grid[row], axes, strict=True):
            values = [(p.kind, p.value, scale * getattr(p, cost)) for p in measured if p.axis == axis]
            for kind in dict.fromkeys(kind for kind, _, _ in values):
                series = [(x, y) for found, x, y in values if found == kind and y]
                panel.plot(*zip(*series, strict=True), "o-", label=kind, markersize=4)
            panel.set(xscale="log", yscale="log", title="" if row else axis, xlabel=AXES[axis]["unit"] if row else "")
            panel.set_ylabel(f"{unit} per {'pair' if axis == 'corpus' else 'token'}")
            positions = sorted({x for _, x, _ in values})
            panel.set_xticks(positions, [f"{x // 1000}k" if x % 1000 == 0 else str(x) for x in positions])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            panel.legend(frameon=False, fontsize=8)
    figure.savefig(path)
