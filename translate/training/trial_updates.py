"""Speed and memory of a configuration on this machine, measured in a few updates that are discarded."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from itertools import compress
from statistics import median

import torch

from translate.checkpoint import LoadedModel, vocabularies_of
from translate.data.batching import largest_batches
from translate.data.corpora import ParallelText
from translate.data.loader import DataPosition, UpdateStream
from translate.data.prepare import Prepared
from translate.distributed import World
from translate.memory import is_out_of_memory
from translate.models import build_model
from translate.training.batch_memory import UndividedMemory, free_memory, has_room
from translate.training.config import TrainConfig
from translate.training.manifest import new_manifest
from translate.training.optimizer import make_optimizer
from translate.training.parallel import ParallelModel, TrainingDecision, decide_run, parallelize
from translate.training.parts import make_model, update_stream
from translate.training.recommended import Cost
from translate.training.state import TrainState
from translate.training.step import train_step
from translate.training.update_ways import Workload, probable_way
from translate.training.validation import Validator

_WARM_UP_UPDATES, _TIMED_UPDATES = 2, 40
_ENOUGH_SECONDS = 3.0  # of timed updates, after which the rest is skipped
_MUCH_SLOWER = 3.0  # than the median
_FEW_LINES, _MORE_LINES = 64, 512  # of the validation set
_FAST_SECONDS = 1.0  # if few lines take less, more are translated


class TrialUpdates:
    """Measures configurations with temporary models and optimizers, on all processes; see recommended.Trials.

    base     base model of an adaptation
    devices  number of devices of a run
    """

    def __init__(self, config: TrainConfig, data: Prepared, world: World, base: LoadedModel | None = None):
        self._data, self._world, self._base = data, world, base
        self.on_gpu, self.devices = decide_run(config).capabilities.on_gpu, world.size

    def weights(self, config: TrainConfig) -> int:
        """Number of parameters of a model of this configuration, without allocating it."""
        with torch.device("meta"):
            model = build_model(config.model, vocabularies_of(self._data.tokenizer))
        return sum(weight.numel() for weight in model.parameters())

    def fits(self, config: TrainConfig) -> bool:
        """True if the largest batches of this configuration fit into the memory of every device."""
        return all(self._world.gather_results(lambda: self._fits_here(config)))

    def _fits_here(self, config: TrainConfig) -> bool:
        decision = decide_run(config)
        torch.manual_seed(config.run.seed)
        try:
            return has_room(lambda: self._make_largest_updates(config, decision), decision.device)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            free_memory(decision.device)

    def _make_largest_updates(self, config: TrainConfig, decision: TrainingDecision) -> None:
        """Make updates of the largest batches of an epoch. Raises an out-of-memory error if one does not fit."""
        alone = World()  # without other processes, which would wait for the gradients of one that has failed
        model = parallelize(make_model(config, self._data, self._base), alone, decision)
        model = dataclasses.replace(model, memory=UndividedMemory())
        optimizer = make_optimizer(model.module, config.optimizer)
        state = TrainState(model, optimizer, ema_decay=config.averaging.ema_decay)
        # with accumulation or DDP, gradients are already in memory when a batch is computed: make two batches
        count = 2 if config.batch.accumulation > 1 or self._world.size > 1 else 1
        single = dataclasses.replace(config, batch=dataclasses.replace(config.batch, accumulation=1))
        with update_stream(single, self._data, decision, alone) as stream:
            lengths = self._data.train.source_lengths, self._data.train.target_lengths
            largest = largest_batches(stream.plan(DataPosition()), lengths, packed=stream.packed)
            # the first one twice: the optimizer allocates its state in the first update
            for step, index in enumerate([largest[0], *largest], start=1):
                stream.close()
                stream.seek(DataPosition(batches=index))
                update = stream.next(0.0)
                result = train_step(model, optimizer, update.batches * count, config, alone, step=step).result()
                state.advance(update, target_tokens=result.target_tokens)

    def cost(self, config: TrainConfig, *, validating: bool = False) -> Cost:
        """Cost of updates and, if `validating`, of a validation, as measured by the main process."""
        decision = decide_run(config)
        torch.manual_seed(config.run.seed)
        model = parallelize(make_model(config, self._data, self._base), self._world, decision)
        with update_stream(config, self._data, decision, self._world) as stream:
            cost = self._updates(config, model, stream)
        if validating:
            cost = dataclasses.replace(cost, validation_seconds=self._validation(config, model, decision))
        return self._world.from_main(cost)

    def _updates(self, config: TrainConfig, model: ParallelModel, stream: UpdateStream) -> Cost:
        optimizer = make_optimizer(model.module, config.optimizer)
        state = TrainState(model, optimizer, ema_decay=config.averaging.ema_decay)
        batches = config.batch.accumulation * self._world.size
        plan = stream.plan(DataPosition())
        updates_per_epoch = -(-len(plan) // batches)
        # start with the update with the longest sentences, which needs the most memory
        longest = max(range(len(plan)), key=lambda index: plan[index].source_length + plan[index].target_length)
        stream.seek(DataPosition(batches=longest // batches * batches))
        seconds, tokens = list[float](), list[int]()
        workload = Workload(model, optimizer, config, self._world)
        with probable_way(workload) as make_update:
            for number in range(_WARM_UP_UPDATES + _TIMED_UPDATES):
                if number == 1:
                    stream.seek(DataPosition())
                started = time.monotonic()
                update = stream.next(0.0)
                result = make_update(update.batches, step=number + 1).result()
                state.advance(update, target_tokens=result.target_tokens)
                if number >= _WARM_UP_UPDATES:
                    seconds.append(time.monotonic() - started)
                    tokens.append(result.target_tokens)
                if self._world.from_main(sum(seconds) > _ENOUGH_SECONDS):
                    break
        lengths = self._data.train.target_lengths + 1
        epoch_tokens = float((lengths * self._data.train.repeats(0.0)).sum())
        update_seconds = seconds_per_token(seconds, tokens) * epoch_tokens / updates_per_epoch
        return Cost(update_seconds=update_seconds, updates_per_epoch=updates_per_epoch)

    def _validation(self, config: TrainConfig, model: ParallelModel, decision: TrainingDecision) -> float:
        """Seconds of a validation, extrapolated from a sample of the set."""
        total = sum(map(len, self._data.validation_sets))
        seconds = self._translation(config, model, decision, lines := min(total, _FEW_LINES))
        if seconds < _FAST_SECONDS and lines < total:
            seconds = self._translation(config, model, decision, lines := min(total, _MORE_LINES))
        return seconds * total / lines

    def _translation(self, config: TrainConfig, model: ParallelModel, decision: TrainingDecision, lines: int) -> float:
        """Seconds of a validation on `lines` lines, with translations of usual length."""
        train = self._data.train
        # the untrained model does not end sentences: limit translations to the usual length
        ratio = float(train.target_lengths.sum() / max(1, train.source_lengths.sum()))
        search = dataclasses.replace(
            config.search, max_length_ratio=ratio, max_length_offset=1, max_length=0, min_length=0
        )
        texts = self._data.validation_sets
        total = sum(map(len, texts))
        valid, *further = (_sample(text, max(1, lines * len(text) // total)) for text in texts)
        sample = dataclasses.replace(self._data, valid=valid, further_valid=further)
        settings = dataclasses.replace(config, search=search)
        manifest = new_manifest(settings, sample, self._base)
        validator = Validator(
            settings, sample, model, self._world, precision=decision.decoding_precision, manifest=manifest
        )
        started = time.monotonic()
        validator.run(explain=True)
        return time.monotonic() - started


def seconds_per_token(seconds: Sequence[float], tokens: Sequence[int]) -> float:
    """Mean over updates, without outliers: updates that record a CUDA graph, or that other processes slow down."""
    rates = [each / max(count, 1) for each, count in zip(seconds, tokens, strict=True)]
    usual = [rate <= _MUCH_SLOWER * median(rates) for rate in rates]
    return sum(compress(seconds, usual)) / max(sum(compress(tokens, usual)), 1)


def _sample(text: ParallelText, lines: int) -> ParallelText:
    """Lines spread evenly over a validation set."""
    rows = [number * len(text) // lines for number in range(lines)]
    return dataclasses.replace(
        text,
        source=[text.source[row] for row in rows],
        target=[text.target[row] for row in rows],
        labels=[text.labels[row] for row in rows] if text.labels else None,
        further_references=[[reference[row] for row in rows] for reference in text.further_references],
    )
