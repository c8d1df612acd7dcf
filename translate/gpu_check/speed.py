"""Speed of this device: what it reaches at best, and training and decoding of each size of model.

Weights are random, batches are of random sentences of ordinary lengths. A stage ends at its limit of time, and names
what it has left out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from translate.batch import Batch
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision, fastest_training_precision
from translate.distributed import World
from translate.errors import UserError
from translate.gpu_check import NO_CUDA, Check
from translate.gpu_check.peers import PEERS, of_similar_lengths, plain_updates
from translate.gpu_check.runs import train_config
from translate.gpu_check.updates import example_batch
from translate.models import Vocabularies, build_model
from translate.models.quantised import AUTOCAST
from translate.models.seq2seq import Seq2Seq
from translate.models.transformer_config import TransformerConfig
from translate.training.config import TrainConfig
from translate.training.optimizer import make_optimizer
from translate.training.parallel import decide_training, parallelize
from translate.training.path_trials import EAGER, LeftOut
from translate.training.step import PendingUpdate
from translate.training.update_ways import CANDIDATES, COMPILED, Workload

VOCABULARY = 16_000
SIZES, SIZES_ON_CPU = ("tiny", "small", "base", "big"), ("tiny",)
TOKENS, TOKENS_ON_CPU = (4096, 8192, 32_768), (1024,)
COMPARED = "base"  # size of the models of other libraries, on a GPU
DECODED = ((1, "one sentence"), (128, "128 sentences"), (1024, "1,024 sentences"))
FP8, SIZES_FOR_FP8 = "compiled, fp8", ("base", "big")
SECONDS, SECONDS_ON_CPU = 2.0, 0.5  # of a measurement
STAGE_SECONDS = 420.0  # after which a stage begins no other measurement
BATCHES = 4  # that updates take in turns
PROFILED = 3  # updates
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")  # functions in which the host waits for the device
# words in the names of kernels, on GPUs and CPUs; the first that fits counts
KINDS = {
    "fused by a compiler": ("triton",),
    "attention": ("flash", "fmha", "attn", "attention"),
    "products": ("gemm", "cutlass", "nvjet", "xmma", "splitk", "addmm", "::mm", "matmul", "linear"),
    "copies and casts": ("copy", "memcpy", "cast", "catarray", "::cat"),
    "optimizer": ("multi_tensor", "adam", "foreach"),
    "norms": ("norm", "gammabeta"),
    # gradients of embeddings sort the tokens first
    "embeddings": ("embedding", "compute_grad_weight", "sum_and_scatter", "radixsort", "index"),
    "softmax and loss": ("softmax", "gather", "scatter"),
}


MakeNumbered = Callable[[int], PendingUpdate | None]  # the update with this number


def ceilings(check: Check) -> None:
    """Rates of large matrix products and copies, which training is compared with."""
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


def seconds_per_call(check: Check, work: Callable[[], Tensor]) -> float:
    """Mean time of some work, after a first call."""
    work()
    synchronize(check)
    count, started = 0, time.perf_counter()
    limit = SECONDS if check.can.on_gpu else SECONDS_ON_CPU
    while time.perf_counter() - started < limit:
        for _ in range(10 if check.can.on_gpu else 1):
            work()
            count += 1
        synchronize(check)
    return (time.perf_counter() - started) / count


def training_speed(check: Check) -> None:
    """Target tokens a second, share of the ceiling, peak memory and where the time goes, by size and batch."""
    ceiling = products(check, fastest_training_precision(check.can), 8192 if check.can.on_gpu else 1024)
    started = time.monotonic()
    for size, tokens, way in measured_ways(on_gpu=check.can.on_gpu):
        name = f"{size}, {tokens:,} tokens, {way}"
        if time.monotonic() - started > STAGE_SECONDS:
            check.leave_out(name, "out of time")
            continue
        try:
            check.result.table.append({"training": name, **train_speed(check, size, tokens, way, ceiling)})
        # of this row alone, as for lack of memory
        except (RuntimeError, MemoryError, ImportError, LeftOut, UserError) as error:
            check.leave_out(name, str(error).partition("\n")[0])
    if not check.can.on_gpu:
        check.leave_out("sizes above tiny, compiled and graphed updates, memory and shares of a GPU", NO_CUDA)


def measured_ways(*, on_gpu: bool) -> Iterator[tuple[str, int, str]]:
    """Size, tokens and way of each measurement: of compute.fast_path, FP8, and names of other libraries' models."""
    if not on_gpu:
        yield from product(SIZES_ON_CPU, TOKENS_ON_CPU, (*PEERS, EAGER))
        return
    yield from product(SIZES, TOKENS, (way for way in CANDIDATES if way not in COMPILED))
    yield from product((COMPARED,), TOKENS, PEERS)
    # last, and of the largest batches alone: compilation takes minutes
    for size in (COMPARED, *(size for size in SIZES if size != COMPARED)):
        yield from product((size,), TOKENS[-1:], (*COMPILED, FP8) if size in SIZES_FOR_FP8 else COMPILED)


def train_speed(check: Check, size: str, tokens: int, way: str, ceiling: float) -> dict[str, str]:
    """A row of the table; way: see measured_ways."""
    config = train_config(check, {"model": size})
    batches = [example_batch(tokens, vocabulary=VOCABULARY, seed=number) for number in range(BATCHES)]
    decision = decide_training(
        check.device,
        check.can,
        precision=Precision.auto,
        head_width=config.model.head_width,
        fp8=way == FP8,
    )
    if way in PEERS or not decision.packed:
        batches = of_similar_lengths(batches)
    if check.can.on_gpu:
        batches = [batch.pin_memory() for batch in batches]
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(config.run.seed)
    if way in PEERS:
        assert isinstance(config.model, TransformerConfig)
        model = PEERS[way](config.model, VOCABULARY).to(check.device)
        update = plain_updates(model, check.device, AUTOCAST.get(decision.precision))
        return _measured(check, model, batches, lambda number: update(batches[number % len(batches)]), ceiling)
    trained = parallelize(_model(config).train(), World(), decision)
    workload = Workload(trained, make_optimizer(trained.module, config.optimizer), config, World(), is_trial=True)
    with CANDIDATES["compiled" if way == FP8 else way](workload) as make_update:

        def our_update(number: int) -> PendingUpdate:
            return make_update([batches[number % len(batches)]], step=number + 1)

        return _measured(check, trained.module, batches, our_update, ceiling)


def _measured(
    check: Check, model: nn.Module, batches: Sequence[Batch], update: MakeNumbered, ceiling: float
) -> dict[str, str]:
    for number in range(len(batches)):  # kernels are chosen, models compiled and graphs recorded, for each shape
        wait_for(update(number))
    updates, seconds = _timed(check, update)
    target_tokens = sum(batch.num_target_tokens for batch in batches) / len(batches)
    row = {"tokens/s": f"{updates * target_tokens / seconds:,.0f}", "ms": f"{1000 * seconds / updates:.1f}"}
    row["of ceiling"] = ""
    if isinstance(model, Seq2Seq):  # others keep some weights outside of linear layers
        # six operations for each token and weight, forward and backward (Kaplan et al. 2020); attention is left out
        linear = (module for module in model.modules() if isinstance(module, nn.Linear))
        flops = 6 * target_tokens * sum(module.weight.numel() for module in linear)
        row["of ceiling"] = f"{updates * flops / seconds / ceiling:.0%}"
    if check.can.on_gpu:
        row["GiB"] = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}"
    return row | shares(check, update)


def wait_for(pending: PendingUpdate | None) -> None:
    """Read the result of an update of ours; others return none."""
    if pending is not None:
        pending.result()


def _timed(check: Check, update: MakeNumbered) -> tuple[int, float]:
    """Number of updates, each read when the next one has been launched, and their seconds."""
    limit, count = SECONDS if check.can.on_gpu else SECONDS_ON_CPU, 0
    started, pending = time.perf_counter(), update(0)
    while time.perf_counter() - started < limit:
        count += 1
        newest = update(count)
        wait_for(pending)
        pending = newest
    wait_for(pending)
    synchronize(check)
    return count + 1, time.perf_counter() - started


def shares(check: Check, update: MakeNumbered) -> dict[str, str]:
    """Shares of the device's time by kind of kernel, and waits for it in an update."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if check.can.on_gpu else [])]
    with profile(activities=activities) as recorded:
        results = [update(number) for number in range(PROFILED)]
        synchronize(check)
    del results
    return shares_of(recorded.key_averages(), on_gpu=check.can.on_gpu)


def shares_of(events: Iterable[Any], *, on_gpu: bool) -> dict[str, str]:
    """Shares and waits from the events of the profiler for PROFILED updates."""
    times: Counter[str] = Counter()
    waits = 0
    for event in events:
        waits += event.count if event.key in WAITS else 0
        # Of a GPU the kernels alone: operations of the CPU have the time of their kernels once more, and annotations
        # that of all kernels inside.
        if not on_gpu:
            times[kind_of(event.key)] += event.self_cpu_time_total
        elif event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            times[kind_of(event.key)] += event.self_device_time_total
    total = sum(times.values()) or 1
    largest = ", ".join(f"{kind} {time / total:.0%}" for kind, time in times.most_common(4) if time > 0.03 * total)
    return {"time": largest} | ({"waits": f"{waits / PROFILED:.1f}"} if on_gpu else {})


def kind_of(kernel: str) -> str:
    """The kind that the name of a kernel belongs to."""
    name = kernel.lower()
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "elementwise, others")


def decoding_speed(check: Check) -> None:
    """Sentences and tokens a second of beam search, of many sentences and of one at a time."""
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
    """A row of the table. An untrained model ends no sentence: translations are as long as their sources."""
    config = train_config(check, {"model": size})
    engine = NativeEngine(model=_model(config).to(check.device).eval(), device=check.device, workers=1)
    search = SearchConfig(beam_size=4, max_length_ratio=1.0, max_length_offset=0)
    # tokens for more sentences than are wanted, each of which ends with EOS
    batch = example_batch(64 * (sentences + 8), vocabulary=VOCABULARY)
    lines = [tuple(ids[:-1].tolist()) for ids in batch.source.sentences()[:sentences]]
    found = engine.search(lines, search)
    count = 0
    synchronize(check)
    started = time.perf_counter()
    while time.perf_counter() - started < (SECONDS if check.can.on_gpu else SECONDS_ON_CPU):
        found = engine.search(lines, search)
        count += 1
    seconds = time.perf_counter() - started
    tokens = count * sum(len(hypotheses[0].tokens) + 1 for hypotheses in found)
    return {
        "sentences/s": f"{count * sentences / seconds:,.1f}",
        "tokens/s": f"{tokens / seconds:,.0f}",
        "ms": f"{1000 * seconds / count:.1f}",
    }


def _model(config: TrainConfig) -> Seq2Seq:
    torch.manual_seed(config.run.seed)
    return build_model(config.model, Vocabularies(VOCABULARY, VOCABULARY, shared=True))


def synchronize(check: Check) -> None:
    """Wait for the device."""
    if check.can.on_gpu:
        torch.cuda.synchronize()
