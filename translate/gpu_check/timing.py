"""Time and profile updates of each model size on this device, and time other work.

Weights are random; batches are of random sentences with the lengths of an ordinary corpus.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from translate.batch import Batch
from translate.device import Precision
from translate.distributed import World
from translate.gpu_check import Check
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
from translate.training.step import PendingUpdate
from translate.training.update_ways import CANDIDATES, Workload

VOCABULARY = 16_000
FP8 = "compiled, fp8"  # a further way, beside those of compute.fast_path
SECONDS, SECONDS_ON_CPU = 2.0, 0.5  # of a measurement
BATCHES = 4  # updates use them in turn
PROFILED = 3  # updates
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")  # functions in which the host waits for the device
# kind -> parts of kernel names, on GPUs and CPUs; the first kind that matches counts
KINDS = {
    "exchange between devices": ("nccl", "gloo"),
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

MakeUpdateAt = Callable[[int], PendingUpdate | None]  # makes the update with this number


@dataclass(frozen=True)
class Speed:
    """Timing of updates on one device.

    target_tokens  in all these updates, on this device
    seconds        of all these updates
    details        further columns of the table: peak memory of a GPU, shares of time, waits
    """

    updates: int
    target_tokens: float
    seconds: float
    details: dict[str, str] = field(default_factory=dict)

    @property
    def tokens_per_second(self) -> float:
        return self.target_tokens / self.seconds

    @property
    def milliseconds(self) -> float:
        """Time of one update."""
        return 1000 * self.seconds / self.updates


@contextmanager
def updates_of(
    check: Check, size: str, tokens: int, way: str, world: World | None = None
) -> Iterator[tuple[nn.Module, Sequence[Batch], MakeUpdateAt]]:
    """Context with a model, its batches, and a function that makes updates; way: see measured_ways."""
    config, world = train_config(check, {"model": size}), world or World()
    # other batches on each rank
    seeds = range(BATCHES * world.rank, BATCHES * (world.rank + 1))
    batches = [example_batch(tokens, vocabulary=VOCABULARY, seed=seed) for seed in seeds]
    decision = decide_training(
        check.device, check.can, precision=Precision.auto, head_width=config.model.head_width, fp8=way == FP8
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
        yield model, batches, lambda number: update(batches[number % len(batches)])
        return
    trained = parallelize(random_model(config).train(), world, decision)
    workload = Workload(trained, make_optimizer(trained.module, config.optimizer), config, world, is_trial=True)
    with CANDIDATES["compiled" if way == FP8 else way](workload) as make_update:
        yield trained.module, batches, lambda number: make_update([batches[number % len(batches)]], step=number + 1)


def random_model(config: TrainConfig) -> Seq2Seq:
    torch.manual_seed(config.run.seed)
    return build_model(config.model, Vocabularies(VOCABULARY, VOCABULARY, shared=True))


def measure(check: Check, batches: Sequence[Batch], update: MakeUpdateAt, world: World | None = None) -> Speed:
    """Time updates, the same number on every rank."""
    for number in range(len(batches)):  # warm-up: for each shape, kernels are chosen, models compiled, graphs recorded
        wait_for(update(number))
    updates, seconds = _timed(check, update, world or World())
    target_tokens = updates * sum(batch.num_target_tokens for batch in batches) / len(batches)
    details = {"peak GiB": f"{torch.cuda.max_memory_allocated() / 2**30:.1f}"} if check.can.on_gpu else {}
    return Speed(updates, target_tokens, seconds, details | shares(check, update))


def wait_for(pending: PendingUpdate | None) -> None:
    """Read the result of an update; those of other libraries' models have none."""
    if pending is not None:
        pending.result()


def _timed(check: Check, update: MakeUpdateAt, world: World) -> tuple[int, float]:
    """Number and total seconds of timed updates; as in training, a result is read after the next update's launch."""
    synchronize(check)
    started = time.perf_counter()
    wait_for(update(0))
    synchronize(check)  # for updates without a result to wait for
    # ranks that made different numbers of updates would wait for each other forever
    count = world.from_main(max(1, round(seconds_measured(check) / (time.perf_counter() - started))))
    synchronize(check)
    started, pending = time.perf_counter(), update(0)
    for number in range(1, count):
        newest = update(number)
        wait_for(pending)
        pending = newest
    wait_for(pending)
    synchronize(check)
    return count, time.perf_counter() - started


def shares(check: Check, update: MakeUpdateAt) -> dict[str, str]:
    """Shares of the device's time by kind of kernel, and how often an update waits for the device."""
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
        # On a GPU count only kernels: CPU operations repeat the time of their kernels, and annotations that of all
        # kernels inside them.
        if not on_gpu:
            times[kind_of(event.key)] += event.self_cpu_time_total
        elif event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            times[kind_of(event.key)] += event.self_device_time_total
    total = sum(times.values()) or 1
    largest = ", ".join(f"{kind} {time / total:.0%}" for kind, time in times.most_common(4) if time > 0.03 * total)
    return {"share of time": largest} | ({"waits an update": f"{waits / PROFILED:.1f}"} if on_gpu else {})


def kind_of(kernel: str) -> str:
    """The kind of a kernel, by its name."""
    name = kernel.lower()
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "elementwise, others")


def seconds_per_call(check: Check, work: Callable[[], Tensor]) -> float:
    """Mean seconds of a call of `work`, after a first call that is not timed."""
    work()
    synchronize(check)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds_measured(check):
        for _ in range(10 if check.can.on_gpu else 1):
            work()
            count += 1
        synchronize(check)
    return (time.perf_counter() - started) / count


def seconds_measured(check: Check) -> float:
    """Duration of a measurement on this device."""
    return SECONDS if check.can.on_gpu else SECONDS_ON_CPU


def synchronize(check: Check) -> None:
    """Wait for the device."""
    if check.can.on_gpu:
        torch.cuda.synchronize()
