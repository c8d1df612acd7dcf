"""The parts of a run, put together from its configuration."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from translate.adaptation import adapt
from translate.adaptation.files import save_adapter
from translate.checkpoint import (
    LoadedModel,
    Weights,
    copy_of,
    load_model,
    read_config,
    save_model,
    set_weights,
    vocabularies_of,
    weights_of,
)
from translate.console import ProgressLine
from translate.data.encoders import make_encodings
from translate.data.loader import Loader
from translate.data.prepare import Prepared
from translate.decoding.config import search_fields
from translate.decoding.native_engine import NativeEngine
from translate.decoding.translator import Translator
from translate.device import choose_device
from translate.distributed import World
from translate.model_directory import MODEL, find_model
from translate.models import build_model
from translate.models.seq2seq import Seq2Seq
from translate.tags import tagging_of
from translate.training.averages import RunningAverage
from translate.training.config import TrainConfig
from translate.training.optimizer import make_optimizer
from translate.training.parallel import ParallelModel, TrainingDecision, decide_run, parallelize
from translate.training.run_data import describe_run, prepare_data, with_held_out_files
from translate.training.run_folder import RunFolder
from translate.training.scoring import tokenizer_of_run
from translate.training.state import RunState
from translate.training.step import PendingUpdate
from translate.training.tracking import Meter, Tracker
from translate.training.trial import Trial
from translate.training.validation import Validation, Validator, encode_validation, swapped_weights
from translate.training.writer import Writer


@dataclass(eq=False)
class Run:
    """All parts of a run.

    launched     the update whose result has not been read yet
    save_is_due  a state could not be saved because its numbers were not finite: the next sound one is
    """

    config: TrainConfig
    decision: TrainingDecision
    folder: RunFolder
    manifest: dict[str, Any]
    data: Prepared
    world: World
    model: ParallelModel
    optimizer: torch.optim.Optimizer
    average: RunningAverage | None
    state: RunState
    loader: Loader
    validator: Validator
    tracker: Tracker | None
    line: ProgressLine
    trial: Trial | None = None
    writer: Writer = field(default_factory=Writer)
    meter: Meter = field(default_factory=Meter)
    launched: PendingUpdate | None = None
    save_is_due: bool = False
    warned_of_warmup: bool = False
    session_start: float = field(default_factory=time.monotonic)
    seconds_before: float = 0.0

    @property
    def weights(self) -> Weights:
        """The weights that are validated and saved as a model: the running average if there is one."""
        return self.average.weights if self.average is not None else weights_of(self.model.module)

    @property
    def scoring(self) -> dict[str, Any]:
        """How this run scores its models, for their manifests, so that evaluate can repeat the scores."""
        translator = self.validator.translator
        return {
            "tag": self.data.valid.tag,
            "bleu_tokenizer": self.validator.tokenize,
            "decoding_precision": str(translator.engine.precision),
            "search": search_fields(translator.search),
        }

    def validation_of(self, weights: Weights | None) -> Validation:
        """Validate with these weights; None: the model's own, which it has again afterwards in any case."""
        with swapped_weights(self.model, weights):
            return self.validator.run(self.model, progress=lambda share: self.line.busy("validating", share))

    def keep(self, weights: Weights, directory: Path, *, step: int | None = None, averaged: Sequence[str] = ()) -> None:
        """Have weights written as a model directory, in the background.

        step      that of the weights; None: the current one
        averaged  names of the states that the weights are the mean of
        """
        if self.world.is_main:
            step = self.state.progress.step if step is None else step
            origin = {"averaged": list(averaged)} if averaged else {}
            manifest = {**self.manifest, "step": step, **self.scoring, **origin}
            self.writer.write(partial(self._save, directory, copy_of(weights), manifest))

    def _save(self, directory: Path, weights: Weights, manifest: dict[str, Any]) -> None:
        config = self.config
        if config.adapt.adds_weights:
            save_adapter(directory, weights=weights, config=config.adapt, manifest=manifest)
        else:
            save_model(
                directory, weights=weights, config=config.model, tokenizer=self.data.tokenizer, manifest=manifest
            )

    def wait_for_files(self) -> None:
        """Until every process can read what has been kept and saved."""
        self.writer.wait()
        self.world.wait()


def with_model_of_base(config: TrainConfig) -> TrainConfig:
    """The configuration with the model settings of the base model, if one is adapted."""
    config.adapt.check()
    if config.adapt.begins_anew:
        return config
    model = read_config(find_model(Path(config.adapt.model)) / MODEL)
    if config.adapt.dropout is not None:
        model = dataclasses.replace(model, dropout=config.adapt.dropout)
    return dataclasses.replace(config, model=model)


def build(
    config: TrainConfig, *, folder: RunFolder, world: World, line: ProgressLine, trial: Trial | None = None
) -> Run:
    """Prepare the data, make the model, and restore what an earlier session saved."""
    decision = decide_run(config, choose_device(config.compute.device))
    base = None if config.adapt.begins_anew else load_model(config.adapt.model, device=torch.device("cpu"))
    data = prepare_data(config, folder, world, base)
    manifest = describe_run(config, data, folder, world, base)
    data = with_held_out_files(data, folder, world)
    torch.manual_seed(config.run.seed)
    model = parallelize(
        _make_model(config, data, base),
        world,
        device=decision.device,
        precision=decision.precision,
        compiled=config.compute.compile,
    )
    # dropout differs between processes, weights do not
    torch.manual_seed(config.run.seed + world.rank)
    optimizer = make_optimizer(model.module, config.optimizer)
    average = RunningAverage(model.module, config.averaging.ema_decay) if config.averaging.ema_decay else None
    state = RunState(model, optimizer, average, folder.states, world)
    state.restore()
    loader = _loader(config, data, world, packed=decision.packed, pinned=model.device.type == "cuda")
    return Run(
        config=config,
        decision=decision,
        folder=folder,
        manifest=manifest,
        data=data,
        world=world,
        model=model,
        optimizer=optimizer,
        average=average,
        state=state,
        loader=loader,
        validator=_validator(config, data, model, world, decision, manifest),
        tracker=Tracker(folder.tensorboard, step=state.progress.step) if world.is_main else None,
        line=line,
        trial=trial,
        seconds_before=state.progress.seconds,
    )


def _make_model(config: TrainConfig, data: Prepared, base: LoadedModel | None) -> Seq2Seq:
    model = build_model(config.model, vocabularies_of(data.tokenizer))
    if base is not None:
        set_weights(model, weights_of(base.model))
        adapt(model, config.adapt)
    return model


def _loader(config: TrainConfig, data: Prepared, world: World, *, packed: bool, pinned: bool) -> Loader:
    encodings = make_encodings(
        data.train,
        data.tokenizer,
        sampling=config.sampling,
        switch_out=config.switch_out,
        longest=config.model.max_length,
    )
    return Loader(
        data.train,
        encodings,
        config.batch,
        seed=config.run.seed,
        packed=packed,
        world=world,
        pinned=pinned,
    )


def _validator(
    config: TrainConfig,
    data: Prepared,
    model: ParallelModel,
    world: World,
    decision: TrainingDecision,
    manifest: dict[str, Any],
) -> Validator:
    batches = encode_validation(
        data.valid, data.tokenizer, tokens=config.batch.tokens, max_length=config.model.max_length
    )
    engine = NativeEngine(
        model=model.module,
        device=model.device,
        batch_tokens=config.validation.batch_tokens,
        precision=decision.decoding_precision,
    )
    # every line of the evaluation sets has its tag already
    tagging = dataclasses.replace(tagging_of(manifest, data.tokenizer), tag="")
    translator = Translator.of_model(engine, data.tokenizer, config.search, manifest, tagging=tagging)
    choice = tokenizer_of_run(config, data.valid.references, manifest)
    return Validator(
        text=data.valid,
        batches=batches,
        translator=translator,
        metrics=config.validation.metrics,
        tokenize=choice.name,
        smoothing=config.loss.label_smoothing,
        world=world,
        notes=[choice.note] if choice.note else [],
    )
