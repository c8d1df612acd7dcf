"""Count the work of updates and decoding steps on a simulated GPU.

Fake tensors have shapes and dtypes but no values (FakeTensorMode), so that a model of any size runs in seconds on a
CPU, and takes the branches that it takes on a GPU. Dtypes follow autocast's rules for CPUs, which convert the inputs of
fewer operations; an operation that only a GPU would convert is tested in tests/test_gpu_kernels.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from translate.batch import Tokens
from translate.decoding.active_batch import ActiveBatch
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import start_search
from translate.decoding.step_graphs import RecordedStep, Size
from translate.device import Precision
from translate.distributed import World
from translate.gpu_check.launches import Work, work_of
from translate.gpu_check.updates import example_batch
from translate.models import Vocabularies, build_model, kv_cache
from translate.models.quantised import with_cast_weights
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer import EOS
from translate.training.config import TrainConfig
from translate.training.optimizer import make_optimizer
from translate.training.parallel import ParallelModel
from translate.training.step import train_step
from translate.training.weight_casts import WeightCasts

_CPU = torch.device("cpu")  # device of the fake tensors: PyTorch without CUDA has no other
_UNCOUNTED_STEPS = 8  # decoding steps before the counted ones


@contextmanager
def simulated_gpu() -> Iterator[FakeTensorMode]:
    """Context in which tensors have no values, and claim to be on a GPU."""
    is_cuda = property(lambda tensor: True)
    kv_cache.own_slots.cache_clear()
    with (
        patch.object(torch.Tensor, "is_cuda", is_cuda),
        patch.object(F, "dropout", lambda x, rate: torch.native_dropout(x, rate, True)[0]),  # one kernel on a GPU
        patch("translate.training.step.copy_to_cpu", lambda numbers: (numbers, None)),
        FakeTensorMode() as mode,
    ):
        yield mode
    kv_cache.own_slots.cache_clear()


def update_work(config: TrainConfig, *, tokens: int, vocabulary: int = 8000) -> Work:
    """Work of an update in bf16 on a packed batch of so many tokens; not of the first update, which also allocates."""
    batch = example_batch(tokens, vocabulary=vocabulary)
    with simulated_gpu() as mode:
        model = build_model(config.model, Vocabularies(vocabulary, vocabulary, shared=True))
        casts = WeightCasts(model, torch.bfloat16, overlapping=False)
        trained = ParallelModel(model.train(), model, _CPU, Precision.bf16, casts=casts)
        optimizer = make_optimizer(model, config.optimizer)
        batches = [_as_fake(batch, mode)]

        def update() -> None:
            train_step(trained, optimizer, batches, config, World(), step=1)

        update()
        return work_of(update)


def steps_work(
    config: TrainConfig, search: SearchConfig, *, sentences: int, length: int, steps: int = 4, vocabulary: int = 8000
) -> Work:
    """Work of `steps` decoding steps of a full batch in bf16, in which each hypothesis already has a few tokens."""
    with _batch_in_decoding(config, search, sentences=sentences, length=length, vocabulary=vocabulary) as begun:
        model, batch = begun
        return work_of(lambda: _steps(batch, model, steps), value_read=_UNCOUNTED_STEPS)


def replayed_step_work(
    config: TrainConfig, search: SearchConfig, *, sentences: int, length: int, slots: int, vocabulary: int = 8000
) -> Work:
    """Work of a decoding step as a CUDA graph, over buffers with so many slots of the KV cache."""
    with _batch_in_decoding(config, search, sentences=sentences, length=length, vocabulary=vocabulary) as begun:
        model, batch = begun
        recorded = RecordedStep.for_batch(model, Size(sentences, length + 1, slots), batch)
        return work_of(recorded.compute)


@contextmanager
def _batch_in_decoding(
    config: TrainConfig, search: SearchConfig, *, sentences: int, length: int, vocabulary: int
) -> Iterator[tuple[Seq2Seq, ActiveBatch]]:
    """Context with a model with bf16 weights, and a batch after some decoding steps, on a simulated GPU."""
    sources = [(EOS + 1,) * length] * sentences
    with simulated_gpu(), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        model = build_model(config.model, Vocabularies(vocabulary, vocabulary, shared=True)).eval()
        model = with_cast_weights(model, torch.bfloat16)
        state = model.start(model.encode(Tokens.pad([[*source, EOS] for source in sources])))
        started = start_search(sources, search, max_length=model.max_length)
        batch = ActiveBatch(state, started, list(range(sentences)))
        work_of(lambda: _steps(batch, model, _UNCOUNTED_STEPS), value_read=_UNCOUNTED_STEPS)
        yield model, batch


def _steps(batch: ActiveBatch, model: Seq2Seq, count: int) -> None:
    for _ in range(count):
        batch.step(model)


def _as_fake(value: Any, mode: FakeTensorMode) -> Any:
    return mode.from_tensor(value) if isinstance(value, Tensor) else value._with_each(lambda x: _as_fake(x, mode))
