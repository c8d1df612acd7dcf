"""The lines of the log before a run's first update: data, model, device, and warnings about scores and settings."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from translate.checkpoint import weights_of
from translate.data.batching import padding_share
from translate.evaluation.evaluate import scoring_notes
from translate.target_unicode import Form
from translate.text import normalise
from translate.training.build import Run
from translate.training.optimizer import OptimizerName

logger = logging.getLogger("translate")


def introduce(run: Run) -> None:
    """Log what the run consists of, and what its user should know before it begins."""
    logger.info(_data_and_model(run))
    logger.info(run.decision.line())
    for warning in run.decision.warnings:
        logger.warning(warning)
    for note in _notes(run):
        logger.info(note)
    for warning in _warnings(run):
        logger.warning(warning)
    if run.state.saved:
        progress = run.state.progress
        logger.info(f"continuing from step {progress.step:,}, epoch {progress.epochs:.2f}")


def _data_and_model(run: Run) -> str:
    train, place = run.data.train, run.state.progress.place
    plan = run.loader.plan(place.epoch, place.phase)
    if run.loader.packed:
        padding = "packed"
    else:
        padding = f"{padding_share(plan, train.source_lengths, train.target_lengths):.1%} padding"
    parameters = sum(parameter.numel() for parameter in run.model.module.parameters())
    trained = sum(weight.numel() for weight in weights_of(run.model.module).values())
    share = "" if trained == parameters else f", of which {trained:,} ({trained / parameters:.1%}) are trained"
    processes = f"; {run.world.size} processes" if run.world.size > 1 else ""
    return (
        f"{run.config.name}: {len(train):,} pairs, {len(plan):,} batches an epoch ({padding}); "
        f"{run.config.model.architecture} with {parameters:,} parameters{share}{processes}"
    )


def _notes(run: Run) -> Iterator[str]:
    translator = run.validator.translator
    if translator.written.form is not Form.nfc:
        yield f"translations are written in {translator.written}, as the training target is"
    if translator.splitting.by_sentences:
        most = translator.splitting.sentences
        yield (
            f"sentences translated at once: at most {most}; lines with more are translated in parts "
            "(split=never: only lines that are too long)"
        )
    if run.config.run.max_minutes:
        minutes = f"{run.config.run.max_minutes:g}"
        yield f"bounded by {minutes} minutes: such a run ends by the clock and cannot repeat exactly"


def _warnings(run: Run) -> Iterator[str]:
    config, data = run.config, run.data
    if config.optimizer.name is OptimizerName.muon and not run.decision.capabilities.bf16_matmul:
        yield "Muon uses bf16 matrix products, which this processor emulates: expect slow updates"
    yield from run.validator.notes
    yield from scoring_notes(data.valid.references, config.validation.metrics)
    for text in filter(None, (data.valid, data.test)):
        lines = map(normalise, text.source)
        if warning := run.validator.translator.tagging.check(lines, option=f"data.{text.name}.tag"):
            yield f"data.{text.name}: {warning}"
