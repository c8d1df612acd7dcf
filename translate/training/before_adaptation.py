"""Scores of the base model on the sets of a run, before it is trained further."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from translate.data.prepare import Prepared
from translate.evaluation.evaluate import evaluate_corpus
from translate.files import read_json, write_json
from translate.training.config import TrainConfig
from translate.training.run_folder import RunFolder
from translate.training.state import TrainState
from translate.training.tracking import Reporter
from translate.training.validation import Validator
from translate.training.validation_sets import tokenizer_of_test

logger = logging.getLogger(__name__)
_FILE = "before.json"


def score_before(
    config: TrainConfig, data: Prepared, state: TrainState, validator: Validator, folder: RunFolder, reporter: Reporter
) -> None:
    """Log the scores of the model that training begins from, and keep them for result.json.

    Only before the first update. On the test sets, without intervals, which would take longer than the translation.
    """
    world = validator.sharded.world
    if state.step or world.from_main((folder.path / _FILE).exists()):
        return
    validation = validator.run(progress=reporter.progress("validating"))
    scores = {
        text.name: evaluate_corpus(
            validator.sharded,
            text,
            metrics=validator.metrics,
            tokenize=tokenizer_of_test(config, text, validator.sets).name,
            progress=reporter.progress("translating"),
        ).scores
        for text in data.tests
    }
    tests = {name: {metric.value: score.value for metric, score in each.items()} for name, each in scores.items()}
    logger.info(f"before adaptation  valid {validation.summary()}")
    for name, each in scores.items():
        logger.info(f"before adaptation  {name} {'  '.join(str(score) for score in each.values())}")
    if world.is_main:
        valid = {"loss": validation.loss, **{metric.value: value for metric, value in validation.scores.items()}}
        write_json(folder.path / _FILE, {"validation": valid, "tests": tests})


def scores_before(folder: Path) -> dict[str, Any]:
    """The entry of result.json; {} in runs that begin anew, and in those of earlier versions."""
    path = folder / _FILE
    return {"before": read_json(path)} if path.is_file() else {}
