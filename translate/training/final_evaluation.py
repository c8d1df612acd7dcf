"""The end of a run: average the last checkpoints, choose by validation, score on the test set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.checkpoint import read_weights, set_weights
from translate.decoding.config import EngineName
from translate.errors import DivergedError, UserError
from translate.evaluation.evaluate import Evaluation, describe_decoding, evaluate_corpus
from translate.evaluation.metrics import RESAMPLES, Metric, command
from translate.evaluation.report import reference_files, terminal_text, write_report
from translate.files import read_json, write_json
from translate.model_directory import WEIGHTS
from translate.training.averages import average_weights
from translate.training.build import Run
from translate.training.changes import flatten, plain
from translate.training.config import LOSS, is_better
from translate.training.state import saved_states
from translate.training.validation import ShardedTranslator

logger = logging.getLogger("translate")
# what people compare runs by: TensorBoard's HParams tab shows the first few in order of name, and grows unreadable
COMPARED = (
    "model.architecture",
    "model.attention",
    "model.d_model",
    "model.ffn_dim",
    "model.num_heads",
    "model.encoder_layers",
    "model.decoder_layers",
    "model.dropout",
    "batch.tokens",
    "loss.label_smoothing",
    "optimizer.learning_rate",
    "run.seed",
    "schedule.warmup_steps",
    "tokenizer.vocab_size",
)


def finish(run: Run) -> None:
    """Scores of the best model, in the log, in evaluation/ and in TensorBoard."""
    result_file, progress = run.folder.result, run.state.progress
    if run.world.from_main(_finished(run, result_file)):
        logger.info("this run is over: raise its bounds (run.max_steps, …) to go on, or choose another run.dir")
        logger.info(read_json(result_file)["summary"])
        return
    average_checkpoints(run)
    set_weights(run.model.module, read_weights(run.folder.best / WEIGHTS, run.model.module))
    evaluation = _evaluate(run)
    if run.world.is_main:
        summary = report(run, evaluation)
        content = {
            "step": progress.step,
            "best_step": progress.best_step,
            "validation": {"metric": run.config.validation.metric, "value": progress.best, "loss": progress.best_loss},
            "summary": summary,
        }
        write_json(result_file, content)
    run.world.wait()


def average_checkpoints(run: Run) -> None:
    """The mean of the last checkpoints, as average/; it becomes the best model if it validates better."""
    config, progress = run.config, run.state.progress
    states = saved_states(run.folder.states)[-config.averaging.last :] if config.averaging.last else []
    if len(states) < 2:
        return
    weights = average_weights([state / WEIGHTS for state in states])
    validation = run.validation_of(weights)
    value, loss = validation.metric(config.validation.metric), validation.loss
    better = is_better(config.validation.metric, value, progress.best, loss=loss, best_loss=progress.best_loss)
    logger.info(
        f"average of {len(states)} checkpoints  valid {validation.summary()}"
        + ("  best so far" if better else f"  step {progress.best_step:,} stays the best")
    )
    for directory in [run.folder.average] + ([run.folder.best] if better else []):
        run.keep(weights, directory, averaged=[state.name for state in states])
    run.wait_for_files()
    if better:
        # saved after the model, so that the score in the state is always that of the model in best/
        progress.best, progress.best_loss, progress.best_step = value, loss, progress.step
        run.state.save(config.run.keep, run.writer)
        run.wait_for_files()


def require_best(run: Run) -> None:
    """Raise DivergedError where no validation gave a finite score, so that there is no model to deliver."""
    if run.state.progress.best is not None:
        return
    metric, rate = run.config.validation.metric, run.config.optimizer.learning_rate
    from_scratch = f"the same command starts from scratch in run.dir={run.folder.path}, because no state was saved"
    raise DivergedError(
        f"training has diverged: no validation gave a finite {metric} and loss, so that there is no best model. Lower "
        f"optimizer.learning_rate ({rate:g}) or set a longer warm-up (schedule.warmup_steps); "
        + ("choose another run.dir" if run.state.saved else from_scratch)
    )


def report(run: Run, evaluation: Evaluation) -> str:
    """Print and write the results; the summary that ends the log."""
    paths = (run.data.test or run.data.valid).reference_paths
    references = reference_files(paths, evaluation.references, run.folder.evaluation)
    write_report(evaluation, run.folder.evaluation, examples=10, reference_paths=references)
    text = terminal_text(evaluation)
    logger.info(text)
    assert run.tracker is not None
    run.tracker.text("result", f"```\n{text}\n```", run.state.progress.step)
    record_settings(run, {f"{evaluation.name}_{metric}": score.value for metric, score in evaluation.scores.items()})
    folder = run.folder
    logger.info(
        f"model: {folder.best}   report: {folder.evaluation / 'report.md'}   "
        f"curves: tensorboard --logdir {folder.path.parent}"
    )
    metric = next(iter(evaluation.scores)) if run.config.validation.metric == LOSS else run.config.validation.metric
    again = command(
        [Metric(metric)],
        evaluation.tokenize,
        references=references,
        hypotheses=str(folder.evaluation / "hypotheses.txt"),
    )
    summary = f"{evaluation.name} {evaluation.scores[Metric(metric)]}" + (f"  ({again})" if again else "")
    logger.info(summary)
    return summary


def record_settings(run: Run, scores: Mapping[str, float] | None = None) -> None:
    """The run's row in TensorBoard's HParams tab; scores: of the test set."""
    assert run.tracker is not None
    results = dict(scores or {})
    if run.state.progress.best is not None:
        results[f"valid_{run.config.validation.metric}"] = run.state.progress.best
    results["minutes"] = run.state.progress.seconds / 60
    results["million_parameters"] = sum(p.numel() for p in run.model.module.parameters()) / 1e6
    run.tracker.summary(_settings(run), results, run.state.progress.step)


def _evaluate(run: Run) -> Evaluation:
    """On the test set, or on the validation set where there is none."""
    text = run.data.test or run.data.valid
    return evaluate_corpus(
        ShardedTranslator(run.validator.translator, run.world),
        text,
        metrics=run.validator.metrics,
        tokenize=run.validator.tokenize,
        bootstrap=RESAMPLES,
        progress=lambda share: run.line.busy("translating", share),
        decoding=describe_decoding(run.validator.translator, engine=EngineName.native, tag=text.tag),
        notes=run.validator.notes,
    )


def _settings(run: Run) -> dict[str, Any]:
    """Settings for TensorBoard's HParams tab: those usually compared, and in a sweep those it varies."""
    values = flatten(plain(run.config))
    if run.trial is not None:
        return {option: values.get(option, text) for option, text in run.trial.varied.items()}
    chosen = {"auxiliary": " ".join(run.config.auxiliary) or "none", "adapt": run.config.adapt.method}
    return {key.rpartition(".")[2]: values[key] for key in COMPARED if key in values} | chosen


def _finished(run: Run, result_file: Path) -> bool:
    """True if the stored results are of this step; those of older versions may lack the score of the average."""
    if not (run.world.is_main and result_file.exists()):
        return False
    try:
        content = read_json(result_file)
    except UserError:  # a damaged file: score again
        return False
    return content.get("step") == run.state.progress.step and "validation" in content
