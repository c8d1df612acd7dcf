"""The lines of a run's log before its first update: data, model, device, notes and warnings."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from translate.checkpoint import weights_of
from translate.data.batching import padding_share
from translate.data.loader import UpdateStream
from translate.data.prepare import Prepared
from translate.evaluation.evaluate import scoring_notes
from translate.text import normalise
from translate.tokenizer import UNK
from translate.training.config import TrainConfig
from translate.training.optimizer import OptimizerName
from translate.training.parallel import TrainingDecision
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder
from translate.training.validation import Validator
from translate.truecasing import MANY_LINES, Case, Truecaser, case_of
from translate.unicode_form import Form

logger = logging.getLogger(__name__)
# of a given vocabulary: 0.05 % are usual in the text that it was learned from
_SAMPLED_PAIRS, _MANY_UNKNOWN = 10_000, 0.05


def log_description(
    config: TrainConfig,
    data: Prepared,
    decision: TrainingDecision,
    batches: UpdateStream,
    validator: Validator,
    state: TrainState,
    states: StateFolder,
) -> None:
    """Log what the run consists of, and what its user should know before its first update."""
    if not states.world.is_main:
        return
    processes = ""
    if (size := states.world.size) > 1:
        tokens = config.batch.tokens * config.batch.accumulation * size
        processes = f"; {size} processes, whose update has up to {tokens:,} tokens a side, {size} times those of one"
    logger.info(
        f"{config.name}: {_describe_data(config, data, batches, state)}; {_describe_model(config, state)}{processes}"
    )
    logger.info(decision.line())
    if state.model.fp8 is not None:
        logger.info(f"fp8: {state.model.fp8.summary}")
    for warning in decision.warnings:
        logger.warning(warning)
    for note in _notes(config, data, validator):
        logger.info(note)
    for warning in _warnings(config, data, decision, validator):
        logger.warning(warning)
    if states.newest:
        logger.info(f"continuing from step {state.step:,}, epoch {state.progress.epochs:.2f}")


def _describe_data(config: TrainConfig, data: Prepared, batches: UpdateStream, state: TrainState) -> str:
    plan = batches.plan(state.progress.position)
    padding = f"{padding_share(plan, (data.train.source_lengths, data.train.target_lengths)):.1%} padding"
    languages = config.data.languages
    directions = [f"{each.source_language} → {each.target_language}" for each in config.data.directions]
    direction = f"{'; '.join(directions) or ' → '.join(languages)}, " if directions or all(languages) else ""
    batching = "packed" if batches.packed else padding
    return f"{direction}{len(data.train):,} pairs, {len(plan):,} batches per epoch ({batching})"


def _describe_model(config: TrainConfig, state: TrainState) -> str:
    model = state.model.module
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(weight.numel() for weight in weights_of(model).values())
    share = "" if trained == parameters else f", of which {trained:,} ({trained / parameters:.1%}) are trained"
    return f"{config.model.architecture} with {parameters:,} parameters{share}"


def _notes(config: TrainConfig, data: Prepared, validator: Validator) -> Iterator[str]:
    translator = validator.translator
    if translator.written.form is not Form.nfc:
        yield f"translations are written in {translator.written}, as the training target is"
    if translator.splitting.by_sentences:
        most = translator.splitting.sentences
        yield (
            f"sentences translated at once: at most {most}; lines with more are translated in parts "
            "(split=never: only lines that are too long)"
        )
    if data.truecaser is not None and case_of(translator.manifest) is Case.auto:
        yield from _case_notes(data.truecaser)
    if config.run.max_minutes:
        minutes = f"{config.run.max_minutes:g}"
        yield f"bounded by {minutes} minutes: such a run ends by the clock and cannot repeat exactly"
        yield (
            f"these {minutes} minutes are of updates, validations and saving, in all sessions; the data are prepared "
            "before, and the test set is translated after them"
        )


def unknown_share(data: Prepared) -> float:
    """Share of the tokens that the vocabulary does not know, in pairs spread evenly over the training text."""
    rows = np.linspace(0, len(data.train), min(len(data.train), _SAMPLED_PAIRS), endpoint=False).astype(int)
    tokens = np.concatenate([ids for side in data.train.pairs(rows) for ids in side])
    return float((tokens == UNK).mean())


def _case_notes(truecaser: Truecaser) -> Iterator[str]:
    for name, share in truecaser.shares.items():
        if share < MANY_LINES:
            yield f"lines in {name} are translated in the usual case of their words (case=keep: as they are)"
        else:
            yield (
                f"{share:.1%} of the training lines are in {name}: such lines are translated as they are "
                "(case=restore: in the usual case of their words)"
            )


def _warnings(config: TrainConfig, data: Prepared, decision: TrainingDecision, validator: Validator) -> Iterator[str]:
    if config.optimizer.name is OptimizerName.muon and not decision.capabilities.bf16_matmul:
        yield "Muon uses bf16 matrix products, which this processor emulates: expect slow updates"
    if config.tokenizer.path and (share := unknown_share(data)) > _MANY_UNKNOWN:
        yield (
            f"tokenizer.path={config.tokenizer.path}: {share:.1%} of the tokens of the training text are unknown to "
            "this vocabulary; is it of other languages?"
        )
    yield from validator.notes
    yield from scoring_notes(data.valid.references, config.validation.metrics)
    for text in filter(None, (*data.validation_sets, data.test, *data.further_tests)):
        lines = map(normalise, text.source)
        if warning := validator.translator.tagging.check(lines, option=f"{text.key}.tag"):
            yield f"{text.key}: {warning}"
