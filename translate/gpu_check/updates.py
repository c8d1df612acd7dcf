"""Updates as training makes them: packed batches, all architectures and losses, every way of compute.fast_path.

Models are small and without dropout, so that the same update can be computed on the CPU in double precision.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from translate.batch import Batch, pack_batch, pad_batch
from translate.device import Precision, fastest_training_precision
from translate.distributed import World
from translate.errors import UserError, excerpt
from translate.gpu_check import NO_CUDA, Check, Skipped, relative_error
from translate.gpu_check.kernels import BACKWARD, KEYS, QUERIES
from translate.losses import AUXILIARY_LOSSES, AuxiliaryLossConfig
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.layers import Positions
from translate.models.seq2seq import Seq2Seq
from translate.models.transformer import Activation
from translate.tokenizer import EOS
from translate.training.config import LossConfig, TrainConfig
from translate.training.optimizer import OptimizerConfig, RunningAverage, make_optimizer
from translate.training.parallel import ParallelModel, TrainingDecision, decide_training, parallelize
from translate.training.path_comparison import SUMS, rounding_unit
from translate.training.path_trials import EAGER, LeftOut
from translate.training.step import StepResult, train_step
from translate.training.update_ways import CANDIDATES, Workload

UPDATES = 3
SMOOTHING = 0.1
MEAN_LENGTH, DEVIATION, LONGEST = 27, 12, 100  # tokens of a sentence, about those of IWSLT14
VOCABULARY = 40
SMALL: dict[str, Any] = {"d_model": 64, "max_length": 24, "dropout": 0.0}
PACKED_ON_GPUS = [Precision.bf16, Precision.fp16]
HEAD_WIDTH = 64
# GELU: where the derivative of ReLU jumps, a single rounding error would change the gradient as much as all others
PACKED_MODEL: dict[str, Any] = {
    "d_model": 2 * HEAD_WIDTH,
    "num_heads": 2,
    "max_length": 80,
    "activation": Activation.gelu,
}
# architectures that have to wait for the GPU in each update, and why
WAITING = {"lstm": "PyTorch's LSTM needs the lengths of its sentences on the CPU"}
DRAWN_ON_DEVICE = {"sim_cut"}  # losses with random numbers, which differ between a GPU and the CPU
# A value passes through up to 64 products in sequence, each of which adds a rounding error of one unit.
# In a loss, a mean over tokens, the errors are independent: √64 units. In a single gradient they may add up: 64 units.
IN_LOSS, IN_GRADIENT = 8, 64
WIDE = {"ffn_dim": 2048}  # for fp8 matmuls
FP8_WAYS = (EAGER, "compiled")
MIN_FP8_ERROR = 0.02  # relative error of the first gradient: 0.013 in bf16, 0.04 to 0.05 in emulated fp8
Losses = Mapping[str, AuxiliaryLossConfig]


def tolerances(check: Check, precision: Precision) -> tuple[float, float]:
    """Largest relative errors of the loss and of the gradient of a small model, trained in this precision."""
    unit = rounding_unit(precision, on_gpu=check.can.on_gpu)
    return IN_LOSS * unit + SUMS, IN_GRADIENT * unit + SUMS


def packed(check: Check) -> None:
    """The gradient of packed sentences is as close to double precision as that of padded ones."""
    if not check.can.on_gpu:
        check.leave_out("packed flash attention in a model", NO_CUDA)
    random = np.random.default_rng(check.config.seed)
    # empty sentences have only EOS
    source, target = ([random.integers(4, VOCABULARY, n) for n in lengths] for lengths in (KEYS, QUERIES))
    padded = pad_batch(source, target)
    layouts = padded, pack_batch(source, target, tokens=256)
    precisions = PACKED_ON_GPUS if check.can.on_gpu else [Precision.fp32]
    for precision, positions in product(precisions, (Positions.sinusoidal, Positions.rotary)):
        decision = decide_training(check.device, check.can, precision=precision, head_width=HEAD_WIDTH)
        # on a CPU packed batches are only for tests, by attend_packed_reference
        if check.can.on_gpu and not decision.packed:
            check.leave_out(f"packed batches in {precision}", decision.padded_because)
            continue
        model = make_model(check, "transformer", positions=positions, **PACKED_MODEL)
        _, exact = plain_update(copy.deepcopy(model).double(), padded, {})
        trained = (parallelize(copy.deepcopy(model), World(), decision) for _ in layouts)
        gradients = (one_update(each, [batch], {})[1] for each, batch in zip(trained, layouts, strict=True))
        padded_error, error = (relative_error(gradient, exact) for gradient in gradients)
        # the factor of a single kernel; SUMS: gradients of embeddings and biases are sums over tokens in another order
        check.compare(f"{precision}, gradient", error, BACKWARD * padded_error + SUMS, case=f"{positions} positions")


def updates(check: Check) -> None:
    """Updates with every architecture and loss: their numbers against double precision, and no wait for the GPU."""
    precisions = [Precision.fp32, fastest_training_precision(check.can) if check.can.on_gpu else Precision.bf16]
    for architecture, losses in combinations():
        for precision in dict.fromkeys(precisions):
            compare_update(check, architecture, losses, precision)
        train_without_waiting(check, architecture, losses, make_batch(check))
    if trains_packed(check):
        train_without_waiting(check, "transformer", {}, make_batch(check, packed=True))
    if not check.can.on_gpu:
        check.leave_out("that no update waits for the GPU", NO_CUDA)


def combinations() -> Iterator[tuple[str, Losses]]:
    """Every architecture, without auxiliary losses and with each one that it supports."""
    for architecture, (kind, _) in ARCHITECTURES.items():
        yield architecture, {}
        for name, (loss, _) in AUXILIARY_LOSSES.items():
            if kind.tiny().has_attention or not loss.NEEDS_ATTENTION:
                yield architecture, {name: loss.tiny()}


def compare_update(check: Check, architecture: str, losses: Losses, precision: Precision) -> None:
    """Compare losses and gradient of an update with those of plain PyTorch in double precision, on the CPU."""
    model, batch = make_model(check, architecture), make_batch(check)
    torch.manual_seed(check.config.seed)
    exact, exact_gradient = plain_update(copy.deepcopy(model).double(), batch, losses)
    torch.manual_seed(check.config.seed)
    result, gradient = one_update(parallelize(model, World(), decide(check, precision)), [batch], losses)
    for_loss, for_gradient = tolerances(check, precision)
    case = " + ".join([architecture, *losses])
    # errors of all losses are relative to the main loss, since some auxiliary losses are differences near zero
    check.compare(f"{precision}, loss", abs(result.loss - exact["loss"]) / exact["loss"], for_loss, case=case)
    if check.can.on_gpu and losses.keys() & DRAWN_ON_DEVICE:
        return
    for name, value in result.auxiliary.items():
        check.compare(f"{precision}, other loss", abs(value - exact[name]) / exact["loss"], for_loss, case=case)
    check.compare(f"{precision}, gradient", relative_error(gradient, exact_gradient), for_gradient, case=case)


def plain_update(model: Seq2Seq, batch: Batch, losses: Losses) -> tuple[dict[str, float], Tensor]:
    """Means of all losses per target token, and the gradient of their weighted sum, as a plain loop computes them."""
    output = model(batch, return_attention=any(config.NEEDS_ATTENTION for config in losses.values()))
    logits, labels = output.logits().flatten(0, -2), batch.labels.flatten()
    values = {"loss": F.cross_entropy(logits, labels, label_smoothing=SMOOTHING, reduction="sum")}
    values |= {name: AUXILIARY_LOSSES[name][1](config, model, batch, output) for name, config in losses.items()}
    means = {name: value / batch.num_target_tokens for name, value in values.items()}
    total = sum((losses[name].weight if name in losses else 1.0) * mean for name, mean in means.items())
    assert isinstance(total, Tensor)
    gradient = torch.autograd.grad(total, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return {name: float(mean.detach()) for name, mean in means.items()}, torch.cat([x.flatten() for x in gradient])


def one_update(
    trained: ParallelModel, batches: Sequence[Batch], losses: Losses, world: World | None = None
) -> tuple[StepResult, Tensor]:
    """Make an update by SGD with a learning rate of 1, which subtracts the gradient; returns result and gradient."""
    trained.module.train()
    # fused, as the optimizers of training: it skips an update that overflowed
    optimizer = torch.optim.SGD(trained.module.parameters(), lr=1.0, fused=True)
    before = flat_weights(trained)
    result = train_step(trained, optimizer, batches, settings(losses, clip_norm=0.0), world or World(), step=1).result()
    return result, before - flat_weights(trained)


def flat_weights(trained: ParallelModel) -> Tensor:
    """All weights as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in trained.module.parameters()])


def trains_packed(check: Check) -> bool:
    """True if the small Transformer can be trained on packed batches here; on a CPU by attend_packed_reference."""
    width = ARCHITECTURES["transformer"][0].tiny(**SMALL).head_width
    decision = decide_training(check.device, check.can, precision=Precision.auto, head_width=width)
    return decision.packed or not check.can.on_gpu


def train_without_waiting(check: Check, architecture: str, losses: Losses, batch: Batch) -> None:
    """Make three updates with dropout, in the precision of training: losses fall, and nothing waits for the GPU.

    The running average is updated and results are read, as in training. PyTorch notices only waits of its own, not
    those of other libraries.
    """
    case = " + ".join([architecture, *losses]) + (", packed" if batch.source.is_packed else "")
    model = make_model(check, architecture, dropout=0.1)
    trained = parallelize(model, World(), decide(check, Precision.auto))
    optimizer = make_optimizer(trained.module, OptimizerConfig(learning_rate=1e-2))
    average = RunningAverage(trained.module, decay=0.9)
    on_gpu, waits = check.can.on_gpu, WAITING.get(architecture, "")
    if on_gpu:
        batch = batch.pin_memory()  # as the loader does; otherwise the copy to the GPU would wait
        if waits and not losses:
            check.leave_out(f"that updates of model.architecture={architecture} do not wait for the GPU", waits)
    try:
        with no_waiting() if on_gpu and not waits else nullcontext():
            results = []
            for step in range(1, UPDATES + 1):
                pending = train_step(trained, optimizer, [batch], settings(losses), World(), step=step)
                average.update(step)
                results.append(pending.result())  # waits for an event, which PyTorch does not report
    except RuntimeError as error:
        traceback.print_exc()
        check.require(False, f"{case}: {str(error).splitlines()[0]}")
        return
    check.require(not any(result.skipped for result in results), f"{case}: an update has numbers that are not finite")
    # the cross entropy of the same batch falls, whatever auxiliary losses are added
    share = results[-1].cross_entropy / results[0].cross_entropy
    check.compare("cross entropy of the third update as a share of the first's", share, 1.0, case=case)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Context in which PyTorch raises an error if the CPU would wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def fast_paths(check: Check) -> None:
    """Gradients of a Transformer in every way of compute.fast_path, padded and packed, against double precision."""
    if not check.can.on_gpu:
        raise Skipped(f"{NO_CUDA}; on a CPU updates are made in eager mode")
    layouts = (False, True) if trains_packed(check) else (False,)
    cases = list(product(CANDIDATES, layouts, (False,)))
    try:
        decide(check, fastest_training_precision(check.can), fp8=True)
        cases += product(FP8_WAYS, layouts[-1:], (True,))
    except UserError as reason:
        check.leave_out("fp8", str(reason))
    for name, is_packed, fp8 in cases:
        case = f"{name}, {'packed' if is_packed else 'padded'}{', fp8' if fp8 else ''}"
        try:
            compare_path(check, name, make_batch(check, packed=is_packed), fp8=fp8, case=case)
        except LeftOut as reason:
            check.leave_out(case, str(reason))
        except Exception as error:  # compilers raise errors of any type: report it, and check the other ways
            traceback.print_exc()
            check.require(False, f"{case}: {type(error).__name__}: {excerpt(error)}")


def compare_path(check: Check, name: str, batch: Batch, *, fp8: bool, case: str) -> None:
    """Compare two updates of the same batch: the second one runs what the first has compiled or recorded."""
    precision = fastest_training_precision(check.can)
    for_loss, for_gradient = tolerances(check, precision)
    model = make_model(check, "transformer", **WIDE if fp8 else {})
    trained = parallelize(model, World(), decide(check, precision, fp8=fp8))
    optimizer = torch.optim.SGD(trained.module.parameters(), lr=1.0, fused=True)
    with CANDIDATES[name](Workload(trained, optimizer, settings({}, clip_norm=0.0), World(), is_trial=True)) as update:
        for step in (1, 2):
            exact, exact_gradient = plain_update(copy.deepcopy(trained.module).cpu().double(), batch, {})
            before = flat_weights(trained)
            loss = update([batch], step=step).result().loss
            error = relative_error(before - flat_weights(trained), exact_gradient)
            arithmetic = f"{precision} with fp8" if fp8 else precision
            check.compare(f"{arithmetic}, loss", abs(loss / exact["loss"] - 1), for_loss, case=f"{case}, update {step}")
            check.compare(f"{arithmetic}, gradient", error, for_gradient, case=f"{case}, update {step}")
            if fp8 and step == 1:
                check.require(error > MIN_FP8_ERROR, f"{case}: the gradient has the error of bf16 ({error:.2g})")


def make_model(check: Check, architecture: str, **changes: Any) -> Seq2Seq:
    """A small model in training mode, always with the same initial weights; `changes` replace settings."""
    torch.manual_seed(check.config.seed)
    config = ARCHITECTURES[architecture][0].tiny(**SMALL | changes)
    return build_model(config, Vocabularies(VOCABULARY, VOCABULARY, shared=True)).train()


def make_batch(check: Check, *, seed: int = 0, packed: bool = False) -> Batch:
    """Random pairs of 1 to 20 tokens, padded or packed."""
    random = np.random.default_rng((check.config.seed, seed))
    source, target = ([random.integers(4, VOCABULARY, random.integers(1, 21)) for _ in range(16)] for _ in range(2))
    return pack_batch(source, target, tokens=512) if packed else pad_batch(source, target)


def example_batch(tokens: int, *, vocabulary: int, seed: int = 1) -> Batch:
    """A packed batch of random sentences with the lengths of an ordinary corpus."""
    random = np.random.default_rng(seed)
    lengths: list[int] = []
    while sum(lengths) + len(lengths) + LONGEST < tokens:
        lengths.append(int(np.clip(random.normal(MEAN_LENGTH, DEVIATION), 4, LONGEST)))
    source, target = ([random.integers(EOS + 1, vocabulary, length) for length in lengths] for _ in range(2))
    return pack_batch(source, target, tokens)


def decide(check: Check, precision: Precision, *, fp8: bool = False) -> TrainingDecision:
    """The decision to train on padded batches in a precision."""
    return decide_training(check.device, check.can, precision=precision, head_width=0, fp8=fp8)


def settings(losses: Losses, *, clip_norm: float = 1.0) -> TrainConfig:
    """Settings that train_step reads."""
    optimizer = OptimizerConfig(clip_norm=clip_norm)
    return TrainConfig(loss=LossConfig(label_smoothing=SMOOTHING), optimizer=optimizer, auxiliary=dict(losses))
