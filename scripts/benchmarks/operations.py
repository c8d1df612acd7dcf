"""Time of each operation of our updates on a CPU, against a ceiling of its own shapes."""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import cycle
from statistics import median
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.adapters.ours import Trainer
from benchmarks.session import Session
from benchmarks.training import add_options, make_work
from translate.device import tune_process
from translate.errors import UserError

_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm"}
# index of the queries among the inputs, and matmuls: Q K^T and P V forward; Q K^T, dV, dP, dQ and dK backward
_ATTENTION = {
    "_scaled_dot_product_flash_attention_for_cpu": (0, 2),
    "_scaled_dot_product_flash_attention_for_cpu_backward": (1, 5),
}
_CEILING = (
    "Ceiling of a matrix product: the same product by itself, of contiguous operands in the better of two layouts; of "
    "attention: its products; of any other operation: a copy of as many bytes as it reads and writes. T: tokens, or "
    "another size that no weight has."
)
_WRITE_ONLY = {"copy_", "fill_", "zero_", "random_"}  # operations that do not read what they write to
_LOOK_UPS = {"embedding", "gather", "index", "index_select"}  # that read as much of their first input as they return
_BATCHES = 8  # that take turns
_CEILING_SECONDS, _CEILING_CALLS = 0.1, 5  # of the measurement of a shape; calls at least


@dataclass(frozen=True)
class Operation:
    """An operation on tensors of certain shapes and types."""

    name: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    size: int  # bytes that it reads and writes
    dtype: torch.dtype

    @classmethod
    def of(cls, function: Any, arguments: Sequence[Any], options: Mapping[str, Any], result: Any) -> Self:
        inputs, outputs = _tensors((arguments, dict(options))), _tensors(result)
        read, written = (tuple(tuple(x.shape) for x in part) for part in (inputs, outputs))
        dtype = next((x.dtype for x in [*outputs, *inputs]), torch.float32)
        size = traffic(function, arguments, options, result)
        return cls(function.overloadpacket.__name__, read, written, size, dtype)

    def ceiling(self) -> float:
        """Seconds that it takes at best; see _CEILING."""
        if self.name in _PRODUCTS:
            return _product_seconds(*self.inputs[-2:], self.dtype)
        if self.name in _ATTENTION:
            index, products = _ATTENTION[self.name]
            *batch, queries, width = self.inputs[index]
            keys = self.inputs[index + 1][-2]
            return products * _product_seconds((*batch, queries, width), (*batch, width, keys), self.dtype)
        return _copy_seconds(self.size // 2) if self.size else 0.0

    def label(self, sizes: Collection[int]) -> str:
        """Name and shapes, in which T is any number that is no size of a weight: tokens, sentences."""
        shapes = self.inputs[-2:] if self.name in _PRODUCTS else self.outputs[:1]
        readable = (" x ".join(str(size) if size in sizes else "T" for size in shape) for shape in shapes)
        return f"{self.name} ({', '.join(readable)})"


def traffic(function: Any, arguments: Sequence[Any], options: Mapping[str, Any], result: Any) -> int:
    """Bytes that an operation reads and writes, by its schema; 0 of a view."""
    schema, name = function._schema, function.overloadpacket.__name__
    results = [result] if len(schema.returns) == 1 else result or []
    new = sum(_size(x) for x, declared in zip(results, schema.returns, strict=True) if declared.alias_info is None)
    moved, writes = new, bool(new)
    given = {declared.name: value for declared, value in zip(schema.arguments, arguments, strict=False)} | dict(options)
    for index, declared in enumerate(schema.arguments):
        size = _size(given.get(declared.name))
        is_written = declared.alias_info is not None and declared.alias_info.is_write
        is_read = not (is_written and (declared.kwarg_only or name in _WRITE_ONLY))
        moved += (new if index == 0 and name in _LOOK_UPS else size) * (is_read + is_written)
        writes |= is_written
    return moved if writes else 0


def _size(value: Any) -> int:
    """Bytes of all tensors in a value, without repetitions of expanded ones."""
    return sum(min(x.numel() * x.element_size(), x.untyped_storage().nbytes()) for x in _tensors(value))


def _tensors(value: Any) -> list[Tensor]:
    return [x for x in tree_leaves(value) if isinstance(x, Tensor)]


class OperationTimer(TorchDispatchMode):
    """Seconds of each call of each operation inside, dispatch included: on a CPU, operations are synchronous."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[Operation, list[float]] = defaultdict(list)

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), options: Mapping[str, Any] | None = None
    ) -> Any:
        options = options or {}
        started = time.perf_counter()
        result = function(*arguments, **options)
        seconds = time.perf_counter() - started
        self.seconds[Operation.of(function, arguments, options, result)].append(seconds)
        return result


@cache
def _product_seconds(left: tuple[int, ...], right: tuple[int, ...], dtype: torch.dtype) -> float:
    a, b = (torch.randn(shape).to(dtype) for shape in (left, right))
    return min(_fastest(partial(torch.matmul, a, layout)) for layout in (b, b.mT.contiguous().mT))


@cache
def _copy_seconds(size: int) -> float:
    """Seconds of a copy of so many bytes."""
    source = torch.empty(max(size, 1), dtype=torch.uint8)
    target = torch.empty_like(source)
    return _fastest(lambda: target.copy_(source))


def _fastest(work: Callable[[], Tensor]) -> float:
    """Seconds of the fastest call after the first."""
    work()
    found, limit = list[float](), time.perf_counter() + _CEILING_SECONDS
    while len(found) < _CEILING_CALLS or time.perf_counter() < limit:
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def add_operation_options(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    parser.add_argument("--rounds", type=int, default=3, help=f"of {_BATCHES} updates, timed as a whole and in parts")
    parser.add_argument("--min-share", type=float, default=1.0, help="of the time, for a row of its own, in %%")


def run_operations(arguments: argparse.Namespace, session: Session) -> None:
    if arguments.device != "cpu" or arguments.systems:
        raise UserError("operations are those of our own updates on a CPU: leave --device and --systems out")
    tune_process(session.threads)
    trainer = Trainer.of_corpus(*make_work(arguments, session))
    batches = cycle([trainer.next_batches() for _ in range(_BATCHES)])
    trainer.next_batches = partial(next, batches)
    _make_updates(trainer, 2 * _BATCHES)  # kernels are made for each shape
    timer, rounds = OperationTimer(), list[float]()
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        _make_updates(trainer, _BATCHES)
        rounds.append((time.perf_counter() - started) / _BATCHES)
        with timer:
            _make_updates(trainer, _BATCHES)
    sizes = {size for weight in trainer.model.module.parameters() for size in weight.shape}
    rows = rows_of(timer, sizes, updates=arguments.rounds * _BATCHES)
    _report(session, rows, update=median(rounds), min_share=arguments.min_share / 100)


def _make_updates(trainer: Trainer, count: int) -> None:
    for _ in range(count):
        trainer.update()
    trainer.finish()


@dataclass
class Row:
    """Operations of one label, with the number of calls of each in an update, and their seconds together."""

    calls: dict[Operation, float] = field(default_factory=dict)
    seconds: float = 0.0

    def ceiling(self) -> float:
        """Seconds that all calls take at best."""
        return sum(calls * operation.ceiling() for operation, calls in self.calls.items())


def rows_of(timer: OperationTimer, sizes: Collection[int], *, updates: int) -> dict[str, Row]:
    """Operations by label, the slowest first; a call takes the median of its operation, without interruptions."""
    rows: defaultdict[str, Row] = defaultdict(Row)
    for operation, seconds in timer.seconds.items():
        row, calls = rows[operation.label(sizes)], len(seconds) / updates
        row.calls[operation] = calls
        row.seconds += calls * median(seconds)
    return dict(sorted(rows.items(), key=lambda item: -item[1].seconds))


def _report(session: Session, rows: Mapping[str, Row], *, update: float, min_share: float) -> None:
    """A row for each label with at least this share of the time of an update.

    update  seconds of an update
    """
    shown = {name: row for name, row in rows.items() if row.seconds >= min_share * update}
    session.headings = ("operation", "calls an update", "ms an update", "share", "ceiling / time")
    for name, row in shown.items():
        ceiling = row.ceiling()
        session.results[name] = {"seconds": row.seconds, "ceiling": ceiling, "update": update}
        cells = sum(row.calls.values()), 1000 * row.seconds, f"{row.seconds / update:.1%}"
        session.rows.append((name, *cells, f"{ceiling / row.seconds:.0%}" if ceiling else None))
    others = sum(row.seconds for row in rows.values()) - sum(row.seconds for row in shown.values())
    between = update - sum(row.seconds for row in rows.values())
    for name, seconds in (("other operations", others), ("between operations", between)):
        session.rows.append((name, None, 1000 * seconds, f"{seconds / update:.1%}", None))
    session.notes += [f"An update takes {1000 * update:.0f} ms.", _CEILING]
