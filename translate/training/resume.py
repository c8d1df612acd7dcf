"""Continue a run whose settings have changed: log the changes, score the best model again if needed, record them."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace

from translate.checkpoint import read_weights
from translate.data.loader import Place
from translate.files import read_json
from translate.model_directory import MANIFEST, WEIGHTS
from translate.training.build import Run
from translate.training.changes import Changes, with_changes
from translate.training.config import is_better
from translate.training.stopping import learning_rate, share_done

logger = logging.getLogger("translate")


def take_up_changes(run: Run, changes: Changes) -> None:
    """Adapt the state of a run to its new settings. They are written last: a run killed before does all of it again."""
    progress = run.state.progress
    before = copy.deepcopy(progress)
    run.manifest = with_changes(run.manifest, changes, step=progress.step)
    for change in changes.changes:
        logger.info(f"from step {progress.step:,} on, {change}")
    _announce_learning_rate(run, changes)
    if changes.reordered and progress.place.updates:
        progress.place = Place(progress.place.epoch + 1, phase=progress.place.phase)
        logger.info(f"batches have changed: epoch {progress.place.epoch} begins")
    if run.state.saved and (changes.rescored or run.world.from_main(_best_step(run)) != progress.best_step):
        score_best_again(run)
    if progress != before:
        run.state.save(run.config.run.keep, run.writer)
    run.wait_for_files()
    if run.world.is_main:
        if changes.rescored:
            run.folder.result.unlink(missing_ok=True)
        run.folder.write(changes.config, run.manifest)
    run.world.wait()


def score_best_again(run: Run) -> None:
    """Score the model in best/ with the current settings, as the best score that later validations are compared with.

    That model may be of a later step than the state: the run went on after the state was saved, with other settings.
    """
    progress = run.state.progress
    progress.best, progress.best_loss, progress.best_step = None, None, 0
    step = run.world.from_main(_best_step(run))
    if not step:
        return
    averaged = read_json(run.folder.best / MANIFEST).get("averaged", [])
    weights = read_weights(run.folder.best / WEIGHTS, run.model.module)
    validation = run.validation_of(weights)
    value = validation.metric(run.config.validation.metric)
    if is_better(run.config.validation.metric, value, None, loss=validation.loss):
        progress.best, progress.best_loss, progress.best_step = value, validation.loss, step
        run.keep(weights, run.folder.best, step=step, averaged=averaged)  # its manifest names the search
    logger.info(f"step {step:,}, the best so far, scored again with the current settings  valid {validation.summary()}")


def _best_step(run: Run) -> int:
    """The step of the model in best/; 0: there is none."""
    manifest = run.folder.best / MANIFEST
    return int(read_json(manifest)["step"]) if manifest.exists() else 0


def _announce_learning_rate(run: Run, changes: Changes) -> None:
    """Log how the learning rate changes: it depends on the share of the run that is done, and so on the bounds."""
    progress, config = run.state.progress, run.config
    last = run.state.learning_rate
    if last is None or not any(key.startswith(("optimizer.l", "schedule.", "run.max_")) for key in changes.keys):
        return
    if changes.bounds:
        bounds = {change.key.removeprefix("run."): change.before for change in changes.bounds}
        before, now = share_done(replace(config.run, **bounds), progress), share_done(config.run, progress)
        logger.info(
            f"the schedule is {'stretched' if now < before else 'compressed'} to the new length of the run: {now:.0%} "
            f"of it is over, {before:.0%} was by the bounds before"
        )
    logger.info(
        f"learning rate: {last:.2g} at step {progress.step:,}, {learning_rate(config, progress):.2g} from here on"
    )
