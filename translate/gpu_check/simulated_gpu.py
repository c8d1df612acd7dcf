"""Updates and decoding steps on a pretended GPU, whose work is counted.

Tensors have shapes and types alone (FakeTensorMode), so that a model of any size runs in seconds on a CPU, along the
branches that it takes on a GPU. Types follow autocast's rules for a CPU, which converts fewer operations: one that a
GPU would convert as well is tested by itself (tests/test_gpu_kernels.py).
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

_CPU = torch.device("cpu")  # of the pretended tensors: PyTorch without CUDA has no others
_BEGUN = 8  # decoding steps before one is counted


@contextmanager
def pretended_gpu() -> Iterator[FakeTensorMode]:
    """Context in which tensors compute nothing and answer that they are on a GPU."""
    is_cuda = property(lambda tensor: True)
    kv_cache.own_slots.cache_clear()
    with (
        patch.object(torch.Tensor, "is_cuda", is_cuda),
        patch.object(F, "dropout", lambda x, rate: torch.native_dropout(x, rate, True)[0]),  # one kernel there
        patch("translate.training.step.copy_to_cpu", lambda numbers: (numbers, None)),
        FakeTensorMode() as mode,
    ):
        yield mode
    kv_cache.own_slots.cache_clear()


def update_work(config: TrainConfig, *, tokens: int, vocabulary: int = 8000) -> Work:
    """The work of one update in bf16, of a packed batch of so many tokens; not of the first, which allocates."""
    batch = example_batch(tokens, vocabulary=vocabulary)
    with pretended_gpu() as mode:
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
    """The work of some decoding steps of a full batch in bf16, once every hypothesis has a few tokens."""
    with _begun(config, search, sentences=sentences, length=length, vocabulary=vocabulary) as (model, batch):
        return work_of(lambda: _steps(batch, model, steps), value_read=_BEGUN)


def replayed_step_work(
    config: TrainConfig, search: SearchConfig, *, sentences: int, length: int, slots: int, vocabulary: int = 8000
) -> Work:
    """The work of a decoding step that is launched as one graph, over buffers with so many slots of the KV cache."""
    with _begun(config, search, sentences=sentences, length=length, vocabulary=vocabulary) as (model, batch):
        recorded = RecordedStep.for_batch(model, Size(sentences, length + 1, slots), batch)
        return work_of(recorded.compute)


@contextmanager
def _begun(
    config: TrainConfig, search: SearchConfig, *, sentences: int, length: int, vocabulary: int
) -> Iterator[tuple[Seq2Seq, ActiveBatch]]:
    """A model with weights in bf16, and a batch in translation, on a pretended GPU."""
    sources = [(EOS + 1,) * length] * sentences
    with pretended_gpu(), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        model = build_model(config.model, Vocabularies(vocabulary, vocabulary, shared=True)).eval()
        model = with_cast_weights(model, torch.bfloat16)
        state = model.start(model.encode(Tokens.pad([[*source, EOS] for source in sources])))
        started = start_search(sources, search, max_length=model.max_length)
        batch = ActiveBatch(state, started, list(range(sentences)))
        work_of(lambda: _steps(batch, model, _BEGUN), value_read=_BEGUN)
        yield model, batch


def _steps(batch: ActiveBatch, model: Seq2Seq, count: int) -> None:
    for _ in range(count):
        batch.step(model)


def _as_fake(value: Any, mode: FakeTensorMode) -> Any:
    return mode.from_tensor(value) if isinstance(value, Tensor) else value._with_each(lambda x: _as_fake(x, mode))
