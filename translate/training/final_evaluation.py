"""The end of a run: average the last checkpoints, choose by validation, score on the test set."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.checkpoint import Weights, load_weights, read_weights, set_weights
from translate.data.prepare import Prepared
from translate.decoding.config import EngineName
from translate.errors import DivergedError, UserError
from translate.evaluation.evaluate import Evaluation, describe_decoding, evaluate_corpus
from translate.evaluation.metrics import RESAMPLES, command
from translate.evaluation.report import reference_files, terminal_text, write_report
from translate.evaluation.scores import MetricName
from translate.files import read_json, write_json
from translate.model_directory import WEIGHTS
from translate.training.before_adaptation import scores_before
from translate.training.best_model import restore_models
from translate.training.config import TrainConfig
from translate.training.model_writer import ModelWriter
from translate.training.progress import is_better
from translate.training.run_folder import RunFolder
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder
from translate.training.tracking import Reporter
from translate.training.validation import Validator
from translate.training.validation_config import LOSS
from translate.training.validation_sets import tokenizer_of_test

logger = logging.getLogger(__name__)


def require_best(config: TrainConfig, state: TrainState, states: StateFolder) -> None:
    """Raise DivergedError where no validation gave a finite score, so that there is no model to deliver.

    Raises UserError where the run has ended before its first update.
    """
    if state.progress.best is not None:
        return
    if not state.step:
        raise UserError(
            f"run.max_minutes={config.run.max_minutes:g} ended the run before its first update, so that there is no "
            "model: raise it"
        )
    metric, rate = config.validation.metric, config.optimizer.learning_rate
    from_scratch = f"the same command starts from scratch in run.dir={config.run.dir}, because no state was saved"
    raise DivergedError(
        f"training has diverged: no validation gave a finite {metric} and loss, so that there is no best model. Lower "
        f"optimizer.learning_rate ({rate:g}) or set a longer warm-up (schedule.warmup_steps); "
        + ("choose another run.dir" if states.newest else from_scratch)
    )


def final_evaluation(
    config: TrainConfig,
    data: Prepared,
    state: TrainState,
    states: StateFolder,
    validator: Validator,
    models: ModelWriter,
    reporter: Reporter,
) -> list[Evaluation]:
    """Scores of the best model, in the log, in evaluation/, in result.json and in the loggers.

    Returns the evaluations of all test sets; none of a run that was scored before.
    """
    folder, world, progress = models.folder, states.world, state.progress
    if world.from_main(world.is_main and is_finished(folder.result_file, step=state.step)):
        logger.info("this run is over: raise its bounds (run.max_steps, …) to continue, or choose another run.dir")
        content = read_json(folder.result_file)
        logger.info(content["summary"])
        reporter.results(state, _constants(content.get("tests", {})))
        return []
    restore_models(config, state, states, validator, models)  # lost during the run
    average_checkpoints(config, state, states, validator, models, reporter)
    set_weights(state.model.module, read_weights(folder.best / WEIGHTS, state.model.module))
    evaluations = []
    for text in data.tests:
        tokenizer = tokenizer_of_test(config, text, validator.sets)
        evaluation = evaluate_corpus(
            validator.sharded,
            text,
            metrics=validator.metrics,
            tokenize=tokenizer.name,
            bootstrap=RESAMPLES,
            progress=reporter.progress("translating"),
            decoding=describe_decoding(validator.translator, engine=EngineName.native, tag=text.tag),
            notes=[tokenizer.note] if tokenizer.note else [],
        )
        evaluations.append(evaluation)
    if world.is_main:
        summary = report(evaluations, config, state, folder, [text.reference_paths for text in data.tests], reporter)
        content = {
            "step": progress.step,
            "best_step": progress.best_step,
            "validation": {"metric": config.validation.metric, "value": progress.best, "loss": progress.best_loss},
            "tests": {evaluation.name: _scores(evaluation) for evaluation in evaluations},
            "summary": summary,
            **scores_before(folder.path),
        }
        write_json(folder.result_file, content)  # last: from here on the run counts as scored
    world.wait()
    return evaluations


def is_finished(result_file: Path, *, step: int) -> bool:
    """True if the stored results are of this step; those of older versions may lack the score of the average."""
    if not result_file.exists():
        return False
    try:
        content = read_json(result_file)
    except UserError:  # a damaged file: score again
        return False
    return content.get("step") == step and {"validation", "summary"} <= content.keys()


def average_checkpoints(
    config: TrainConfig,
    state: TrainState,
    states: StateFolder,
    validator: Validator,
    models: ModelWriter,
    reporter: Reporter,
) -> None:
    """The mean of the last checkpoints, as average/; it becomes the best model if it validates better."""
    folder, progress = models.folder, state.progress
    newest = states.intact(config.averaging.last)
    if len(newest) < 2:  # the mean of one is the checkpoint itself
        return
    weights = average_weights([path / WEIGHTS for path in newest])
    validation = validator.run(weights, progress=reporter.progress("validating"))
    value, loss = validation.metric(config.validation.metric), validation.loss
    better = is_better(config.validation.metric, value, progress.best, loss=loss, best_loss=progress.best_loss)
    logger.info(
        f"average of {len(newest)} checkpoints  valid {validation.summary()}"
        + ("  best so far" if better else f"  step {progress.best_step:,} stays the best")
    )
    # average/ in any case, so that both can be compared; best/ if it wins
    for directory in [folder.average] + ([folder.best] if better else []):
        models.save(directory, weights, step=state.step, averaged=[path.name for path in newest])
    states.wait()
    if better:
        # saved after the model, so that the score in the state is always that of the model in best/
        state.record_best(value, loss, step=state.step)
        states.write(state)
        states.wait()


def average_weights(files: Sequence[Path]) -> Weights:
    """The mean of several weight files (Polyak and Juditsky 1992), kept in memory one at a time."""
    total: Weights = {}
    for file in files:
        for name, weight in load_weights(file).items():
            # fp64: the mean of equal weights has to be exactly these weights
            total[name] = total[name] + weight.double() if name in total else weight.double()
    return {name: (weight / len(files)).float() for name, weight in total.items()}


def report(
    evaluations: Sequence[Evaluation],
    config: TrainConfig,
    state: TrainState,
    folder: RunFolder,
    reference_paths: Sequence[Sequence[str]],
    reporter: Reporter,
) -> str:
    """Print and write the results on all test sets, the first in evaluation/, each other one in a folder there.

    reference_paths  of each test set; none where its references are no plain files

    Returns the summary that ends the log, a line for each set.
    """
    summaries = []
    for index, (evaluation, paths) in enumerate(zip(evaluations, reference_paths, strict=True)):
        directory = folder.evaluation / evaluation.name if index else folder.evaluation
        references = reference_files(paths, evaluation.references, directory)
        write_report(evaluation, directory, examples=10, reference_paths=references)
        summaries.append(_summary(evaluation, config.validation.metric, references, directory))
    reporter.result("\n\n".join(map(terminal_text, evaluations)), state.step)
    reporter.results(state, _constants({evaluation.name: _scores(evaluation) for evaluation in evaluations}))
    logger.info(
        f"model: {folder.best}   report: {folder.evaluation / 'report.md'}   "
        f"curves: tensorboard --logdir {folder.path.parent}"
    )
    summary = "\n".join(summaries)
    logger.info(summary)
    return summary


def _summary(evaluation: Evaluation, metric: str, references: Sequence[str], directory: Path) -> str:
    """A test set's score by the validation metric, and the command that repeats it."""
    # the loss is no score of translations: the first metric ends the log then
    chosen = next(iter(evaluation.scores)) if metric == LOSS else MetricName(metric)
    hypotheses = str(directory / "hypotheses.txt")
    again = command([chosen], evaluation.tokenize, references=references, hypotheses=hypotheses)
    return f"{evaluation.name} {evaluation.scores[chosen]}" + (f"  ({again})" if again else "")


def _constants(tests: Mapping[str, Any]) -> dict[str, float]:
    """Scores of the test sets by name for the loggers, and half the widths of their 95 % confidence intervals.

    tests  as in result.json; {} of an older version, of which others lack the intervals
    """
    found = {}
    for name, scores in tests.items():
        for metric, score in scores.items():
            found[f"{name} {metric}"] = score["value"]
            if score.get("interval") is not None:
                found[f"{name} {metric} ±"] = score["interval"]
    return found


def _scores(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Values, half the widths of their intervals, and signatures of all metrics, for programs."""
    return {
        metric.value: {"value": score.value, "interval": score.interval, "signature": score.signature}
        for metric, score in evaluation.scores.items()
    }
