"""Updates that are skipped after an overflow in fp16, or computed in parts because a batch does not fit into memory."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch

from translate.batch import Batch, pad_batch
from translate.device import Precision
from translate.distributed import World
from translate.gpu_check import NO_CUDA, Check, Skipped, relative_error
from translate.gpu_check.updates import decide, make_batch, make_model, one_update, plain_update, tolerances
from translate.models import ARCHITECTURES
from translate.models.seq2seq import Seq2Seq
from translate.training.loss_scale import LossScale
from translate.training.parallel import ParallelModel, parallelize

# an update that takes about 1 GB, nine tenths of it for activations
LARGE_MODEL: dict[str, Any] = {"d_model": 256, "max_length": 128}
LARGE_BATCH = 128
SMALL_SHARE = 0.6  # of this memory is available to the second update


def scaling(check: Check) -> None:
    """fp16 with loss scaling: loss and gradient of an update; an update that overflows must change only the scale."""
    for architecture in ARCHITECTURES:
        model, batch = make_model(check, architecture), make_batch(check)
        exact, exact_gradient = plain_update(copy.deepcopy(model).double(), batch, {})
        trained = in_fp16(check, model)
        result, gradient = one_update(trained, [batch], {})
        for_loss, for_gradient = tolerances(check, Precision.fp16)
        check.compare("loss", abs(result.loss / exact["loss"] - 1), for_loss, case=architecture)
        check.compare("gradient", relative_error(gradient, exact_gradient), for_gradient, case=architecture)
        check_overflow(check, trained, batch, architecture)


def in_fp16(check: Check, model: Seq2Seq) -> ParallelModel:
    """The model in fp16, on a CPU too: PyTorch emulates it there, although training commands refuse it."""
    if check.can.on_gpu:
        return parallelize(model, World(), decide(check, Precision.fp16))
    return ParallelModel(model, model, check.device, Precision.fp16, LossScale(check.device))


def check_overflow(check: Check, trained: ParallelModel, batch: Batch, case: str) -> None:
    """An update whose scaled gradient overflows is skipped, and halves the scale."""
    assert trained.loss_scale is not None
    before = float(trained.loss_scale.factor)
    hook = next(trained.module.parameters()).register_hook(lambda gradient: gradient * math.inf)
    result, change = one_update(trained, [batch], {})
    hook.remove()
    check.require(result.skipped, f"{case}: an update that overflowed was not skipped")
    check.require(not result.diverged, f"{case}: an overflow of the scaled gradient was taken for divergence")
    check.compare("weights that a skipped update changed", int(change.count_nonzero()), 0, case=case)
    after = float(trained.loss_scale.factor)
    check.require(after == before / 2, f"{case}: an overflow changes the loss scale from {before:,.0f} to {after:,.0f}")


def memory(check: Check) -> None:
    """An update that does not fit into GPU memory is computed in parts, with the result of the whole batch."""
    if not check.can.on_gpu:
        raise Skipped(NO_CUDA)
    model = make_model(check, "transformer", **LARGE_MODEL)
    sentences = [np.full(LARGE_MODEL["max_length"], 5)] * LARGE_BATCH
    batch = pad_batch(sentences, sentences)
    for_loss, for_gradient = tolerances(check, Precision.fp32)
    results = []
    for share_of_needed in (1.0, SMALL_SHARE):
        torch.cuda.empty_cache()
        if share_of_needed < 1:
            share = torch.cuda.max_memory_reserved() / torch.cuda.mem_get_info()[1]
            torch.cuda.set_per_process_memory_fraction(share_of_needed * share)
        trained = parallelize(copy.deepcopy(model), World(), decide(check, Precision.fp32))
        results.append(one_update(trained, [batch], {}))
        del trained
    (whole, whole_gradient), (parts, gradient) = results
    check.require(parts.divided > 0, f"the batch fitted into {SMALL_SHARE:.0%} of the memory that it takes")
    check.compare("loss", abs(parts.loss / whole.loss - 1), for_loss)
    check.compare("gradient", relative_error(gradient, whole_gradient), for_gradient)
