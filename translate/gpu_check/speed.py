"""Speed of this device: its ceilings, training of each model size on one and several devices, decoding.

A stage stops at its time limit, and lists the measurements that it has left out.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import torch
from torch import nn

from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision, capabilities, fastest_training_precision
from translate.distributed import World
from translate.errors import UserError
from translate.gpu_check import NO_CUDA, Check, Skipped
from translate.gpu_check.children import KilledError, ProcessError, in_ranks
from translate.gpu_check.peers import PEERS
from translate.gpu_check.runs import train_config
from translate.gpu_check.timing import (
    FP8,
    VOCABULARY,
    Speed,
    measure,
    random_model,
    seconds_measured,
    seconds_per_call,
    synchronize,
    updates_of,
)
from translate.gpu_check.updates import example_batch
from translate.memory import is_out_of_memory
from translate.models.quantised import AUTOCAST
from translate.models.seq2seq import Seq2Seq
from translate.training.path_trials import EAGER, LeftOut
from translate.training.update_ways import CANDIDATES, COMPILED

SIZES, SIZES_ON_CPU = ("tiny", "small", "base", "big"), ("tiny",)
TOKENS, TOKENS_ON_CPU = (4096, 8192, 32_768), (1024,)
COMPARED = "base"  # model size that is compared with other libraries, on a GPU
DECODED = ((1, "one sentence"), (128, "128 sentences"), (1024, "1,024 sentences"))
SIZES_FOR_FP8 = ("base", "big")
STAGE_SECONDS = 420.0  # after which a stage begins no new measurement
PARALLEL_SECONDS = 460.0  # limit of parallel_speed, after which its processes are ended
ROW_SECONDS = 200.0  # limit of a measurement of eager updates; one with compilation may take the rest of the time


def ceilings(check: Check) -> None:
    """Measure rates of large matrix products and copies, with which training is compared."""
    size = 8192 if check.can.on_gpu else 1024
    for precision in dict.fromkeys((Precision.fp32, fastest_training_precision(check.can))):
        check.note(
            f"products of {size:,} x {size:,} in {precision}", f"{products(check, precision, size) / 1e12:.2f} TFLOP/s"
        )
    source = torch.empty(2**28 if check.can.on_gpu else 2**24, device=check.device)
    target = torch.empty_like(source)
    seconds = seconds_per_call(check, lambda: target.copy_(source))
    check.note("copies, read and written", f"{2 * source.nbytes / seconds / 1e9:,.0f} GB/s")


def products(check: Check, precision: Precision, size: int) -> float:
    """Floating-point operations per second of square matrix products."""
    dtype = AUTOCAST.get(precision, torch.float32)
    left, right = torch.randn(2, size, size, device=check.device).to(dtype).unbind()
    result = torch.empty_like(left)
    return 2 * size**3 / seconds_per_call(check, lambda: torch.mm(left, right, out=result))


def training_speed(check: Check) -> None:
    """Measure target tokens per second, share of the ceiling, peak memory and shares of time, by size and batch."""
    precision = fastest_training_precision(check.can)
    ceiling = products(check, precision, 8192 if check.can.on_gpu else 1024)
    check.note("ceiling", f"{ceiling / 1e12:.2f} TFLOP/s, products in {precision}")
    started = time.monotonic()
    for size, tokens, way in measured_ways(on_gpu=check.can.on_gpu):
        name = f"{size}, {tokens:,} tokens, {way}"
        if time.monotonic() - started > STAGE_SECONDS:
            check.leave_out(name, "out of time")
            continue
        try:
            check.result.table.append({"training": name, **train_speed(check, size, tokens, way, ceiling)})
        # compilers and other libraries raise errors of any type: leave out only this row
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            if way != EAGER or is_out_of_memory(error):
                check.leave_out(name, reason)
            else:  # eager updates may fail only for lack of memory
                check.require(False, f"{name}: {reason}")
            if not isinstance(error, LeftOut | UserError):
                traceback.print_exc()
    if not check.can.on_gpu:
        check.leave_out("sizes above tiny, compiled and graphed updates, memory and shares of a GPU", NO_CUDA)


def measured_ways(*, on_gpu: bool) -> Iterator[tuple[str, int, str]]:
    """Model size, tokens and way of each measurement; a way is one of compute.fast_path, FP8, or a name in PEERS."""
    if not on_gpu:
        yield from product(SIZES_ON_CPU, TOKENS_ON_CPU, (*PEERS, EAGER))
        return
    yield from product(SIZES, TOKENS, (way for way in CANDIDATES if way not in COMPILED))
    yield from product((COMPARED,), TOKENS, PEERS)
    # compiled updates last, and only with the largest batches, since compilation takes minutes
    for size in (COMPARED, *(size for size in reversed(SIZES) if size != COMPARED)):
        yield from product((size,), TOKENS[-1:], (*COMPILED, FP8) if size in SIZES_FOR_FP8 else COMPILED)


def train_speed(check: Check, size: str, tokens: int, way: str, ceiling: float) -> dict[str, str]:
    """A row of the table; way: see measured_ways."""
    with updates_of(check, size, tokens, way) as (model, batches, update):
        speed = measure(check, batches, update)
    row = {"tokens/s": f"{speed.tokens_per_second:,.0f}", "ms an update": f"{speed.milliseconds:.1f}", "of ceiling": ""}
    if isinstance(model, Seq2Seq):  # models of other libraries have some weights outside of linear layers
        # six operations per token and weight, forward and backward (Kaplan et al. 2020), without attention
        linear = (module for module in model.modules() if isinstance(module, nn.Linear))
        flops = 6 * speed.tokens_per_second * sum(module.weight.numel() for module in linear)
        row["of ceiling"] = f"{flops / ceiling:.0%}"
    return row | speed.details


def parallel_speed(check: Check) -> None:
    """Measure target tokens per second of data-parallel training on one and several GPUs, or in two CPU processes.

    Each measurement starts one process per device; the process of the stage must not use CUDA.
    """
    if check.num_gpus == 1:
        raise Skipped("1 CUDA device, and data-parallel training needs two")
    on_gpus, started = check.num_gpus > 1, time.monotonic()
    alone: dict[tuple[str, str], Speed] = {}
    for size, tokens, way, devices in parallel_ways(check.num_gpus):
        one, several = ("GPU", "GPUs") if on_gpus else ("process", "processes")
        name = f"{size}, {tokens:,} tokens a {one}, {way}, {devices} {one if devices == 1 else several}"
        left = PARALLEL_SECONDS - (time.monotonic() - started)
        if left < ROW_SECONDS:  # too little time to tell a slow measurement from one that hangs
            check.leave_out(name, "out of time")
            continue
        limit = left if way in COMPILED else ROW_SECONDS
        try:
            ranks = in_ranks(speed_of_rank, devices, check, size, tokens, way, on_gpus=on_gpus, seconds=limit)
        except ProcessError as error:
            # not a failure: too large for the device or, if compiled, too slow or without a working compiler
            if is_out_of_memory(error) or (way in COMPILED and not isinstance(error, KilledError)):
                check.leave_out(name, str(error))
            else:
                check.require(False, f"{name}: {error}")
            continue
        if devices == 1:
            [alone[size, way]] = ranks
        check.result.table.append({"data-parallel training": name, **parallel_row(ranks, alone.get((size, way)))})
    if not on_gpus:
        check.leave_out(
            "several GPUs (NCCL), sizes above tiny", f"{NO_CUDA}; two processes of one thread instead (gloo)"
        )


def parallel_ways(num_gpus: int) -> Iterator[tuple[str, int, str, int]]:
    """Size, tokens on each device, way and number of devices of each measurement; num_gpus: 0, on a CPU, or several."""
    if not num_gpus:
        yield from product(SIZES_ON_CPU, TOKENS_ON_CPU, (EAGER,), (1, 2))
        return
    # several processes cannot use CUDA graphs, so that a single one is measured without them too
    for size, way in ((COMPARED, EAGER), (COMPARED, "compiled"), ("small", EAGER)):
        yield from product((size,), TOKENS[-1:], (way,), (1, num_gpus))
    if num_gpus > 2:
        yield COMPARED, TOKENS[-1], EAGER, 2


def speed_of_rank(world: World, device: torch.device, check: Check, size: str, tokens: int, way: str) -> Speed:
    """Body of a process: updates together with the other ranks."""
    own = replace(check, device=device, can=capabilities(device))
    with updates_of(own, size, tokens, way, world) as (_, batches, update):
        return measure(own, batches, update, world)


def parallel_row(ranks: Sequence[Speed], alone: Speed | None) -> dict[str, str]:
    """Columns of a row; ranks: speeds of ranks that train together; alone: of one device, None if not measured."""
    seconds = max(rank.seconds for rank in ranks)
    rate = sum(rank.target_tokens for rank in ranks) / seconds
    efficiency = "" if alone is None else f"{rate / (len(ranks) * alone.tokens_per_second):.0%}"
    return {
        "tokens/s": f"{rate:,.0f}",
        "scaling efficiency": efficiency if len(ranks) > 1 else "",
        "ms an update": f"{1000 * seconds / ranks[0].updates:.1f}",
        **ranks[0].details,
    }


def decoding_speed(check: Check) -> None:
    """Measure sentences and tokens per second of beam search, with many sentences and with one at a time."""
    sizes = ("small", "base") if check.can.on_gpu else SIZES_ON_CPU
    started = time.monotonic()
    for size, (sentences, name) in product(sizes, DECODED if check.can.on_gpu else DECODED[:1]):
        if time.monotonic() - started > STAGE_SECONDS:
            check.leave_out(f"{size}, {name}", "out of time")
            continue
        check.result.table.append({"decoding, beam 4": f"{size}, {name}", **decode_speed(check, size, sentences)})
    if not check.can.on_gpu:
        check.leave_out("sizes above tiny, and full batches", NO_CUDA)


def decode_speed(check: Check, size: str, sentences: int) -> dict[str, str]:
    """A row of the table. Translations are as long as their sources: an untrained model does not end sentences."""
    config = train_config(check, {"model": size})
    engine = NativeEngine(model=random_model(config).to(check.device).eval(), device=check.device, workers=1)
    search = SearchConfig(beam_size=4, max_length_ratio=1.0, max_length_offset=0)
    # enough tokens for more than the wanted number of sentences
    batch = example_batch(64 * (sentences + 8), vocabulary=VOCABULARY)
    lines = [tuple(ids[:-1].tolist()) for ids in batch.source.sentences()[:sentences]]
    found = engine.search(lines, search)
    count = 0
    synchronize(check)
    started = time.perf_counter()
    while time.perf_counter() - started < seconds_measured(check):
        found = engine.search(lines, search)
        count += 1
    seconds = time.perf_counter() - started
    tokens = count * sum(len(hypotheses[0].tokens) + 1 for hypotheses in found)
    return {
        "sentences/s": f"{count * sentences / seconds:,.1f}",
        "tokens/s": f"{tokens / seconds:,.0f}",
        "ms a batch": f"{1000 * seconds / count:.1f}",
    }
