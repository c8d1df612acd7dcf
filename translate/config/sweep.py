"""Sweeps (--multirun): one run for each combination of values, or for each draw of Optuna's.

Optuna: Akiba et al. 2019; its sampler TPE: Bergstra et al. 2011.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Transformer

from translate.config.options import choices_of
from translate.console import logger, print_notes
from translate.errors import DivergedError, UserError, import_extra
from translate.folders import MARKER, foreign_names, is_marked, listing, mark
from translate.training.config import SweepMethod, TrainConfig, is_minimised
from translate.training.stopping import Trial

if TYPE_CHECKING:
    import optuna

# files of a sweep's folder, as patterns of names; the first two are of earlier versions
_STUDY = ("multirun.yaml", "optimization_results.yaml", "study.db*")
_OF_A_SWEEP = (MARKER, *_STUDY, "trials.tsv", ".trials.lock*", "trial-*")

Run = Callable[..., float | None]
ToConfig = Callable[[Sequence[str]], Any]


def run_sweep(words: Sequence[str], to_config: ToConfig, run: Run) -> None:
    """Train one model for each trial of a sweep, each in a folder of its own below run.dir.

    words      the options of the command line, some of which have several values
    to_config  a configuration of options with one value each

    Raises UserError where the sweep cannot work.
    """
    overrides = OverridesParser.create().parse_overrides(list(words))
    swept = {override.key_or_group: override for override in overrides}  # the last one counts
    swept = {option: override for option, override in swept.items() if override.is_sweep_override()}
    fixed = [word for word, each in zip(words, overrides, strict=True) if each.key_or_group not in swept]
    config = to_config(fixed)
    if not isinstance(config, TrainConfig):
        raise UserError("--multirun is for the train command")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("a sweep trains its models one after the other, each in one process: start it without torchrun")
    if config.sweep.method is SweepMethod.optuna:
        # before anything of it is imported
        import_extra("optuna", extra="sweep", purpose="sweep=optuna")
        with _storage_errors(config):
            _search(config, fixed, swept, to_config, run)
        return
    trials = [(varied, to_config([*fixed, *_words(varied)])) for varied in grid(swept)]
    for _, trial_config in trials:
        trial_config.check()  # a mistake in the last trial is found before the first one trains
    folder = sweep_folder(config.run.dir)
    for number, (varied, trial_config) in enumerate(trials):
        trial = Trial(sweep=folder, number=number, metric=config.validation.metric, varied=varied)
        if run_trial(trial_config, trial, run) is None:
            return


def grid(swept: Mapping[str, Override]) -> Iterator[dict[str, str]]:
    """All combinations of values; the last option varies fastest."""
    for override in swept.values():
        if not override.is_discrete_sweep():
            raise UserError(f"{override.input_line}: an interval is for sweep=optuna")
    for values in product(*map(_values, swept.values())):
        yield dict(zip(swept, values, strict=True))


def _values(override: Override) -> list[str]:
    """Values of choice(…), range(…), glob(…) or a list, as they are written in an option."""
    value = override.value()
    if isinstance(value, Glob):
        return value.filter(choices_of(override.key_or_group))
    return list(override.sweep_string_iterator())


def run_trial(config: TrainConfig, trial: Trial, run: Run) -> float | None:
    """One run of a sweep; its value, not a number where training diverged; None where a signal ends the sweep."""
    config = replace(config, run=replace(config.run, dir=str(trial.folder)))
    try:
        value = run(config, trial)
    except DivergedError as error:
        print_notes(f"error: {error}")  # the log has it already
        value = math.nan
    if value is not None:
        logger.info(trial.record(value))
    return value


def _search(
    config: TrainConfig, fixed: Sequence[str], swept: Mapping[str, Override], to_config: ToConfig, run: Run
) -> None:
    """Let Optuna draw the settings of each trial; a study in run.dir remembers those of earlier sessions."""
    import optuna

    distributions = {option: distribution(override) for option, override in _space(config, fixed, swept).items()}
    if not distributions:
        raise UserError("sweep=optuna has nothing to search: set sweep.params, or model.dropout=interval(0.0, 0.3)")
    folder = sweep_folder(config.run.dir)
    study = _study(config, folder)
    for _ in range(config.sweep.trials):
        drawn = study.ask(distributions)
        varied = {option: str(value) for option, value in drawn.params.items()}
        metric, pruner = config.validation.metric, drawn if config.pruning.trials else None
        trial = Trial(sweep=folder, number=drawn.number, metric=metric, varied=varied, pruner=pruner)
        value = run_trial(to_config([*fixed, *_words(varied)]), trial, run)
        if value is None:
            # ended by a signal: the next session takes these settings up again
            study.tell(drawn, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(drawn.params)
            return
        # a diverged run is a failure: Optuna accepts no NaN as a value
        if math.isnan(value):
            study.tell(drawn, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(drawn, value)


@contextmanager
def _storage_errors(config: TrainConfig) -> Iterator[None]:
    """Turn errors of the study's database, such as a full disk, into UserErrors."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except StorageInternalError as error:
        cause = getattr(error.__cause__, "orig", error)  # the database's own error
        where = config.sweep.storage or f"{config.run.dir}/study.db"
        raise UserError(f"{where}: {cause}; the same command continues the sweep") from None


def _study(config: TrainConfig, folder: Path) -> optuna.Study:
    import optuna

    sweep, pruning = config.sweep, config.pruning
    # trials have lines of their own in the log
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=config.name,
        storage=sweep.storage or f"sqlite:///{folder}/study.db",
        direction="minimize" if is_minimised(config.validation.metric) else "maximize",
        # trials report every validation under its step, so that the warm-up is counted in updates
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=pruning.trials, n_warmup_steps=pruning.validations * config.validation.every
        ),
        load_if_exists=True,
    )
    # a seed of its own for each session: the same one would draw the trials of the first again
    study.sampler = optuna.samplers.TPESampler(
        seed=sweep.seed + len(study.trials), n_startup_trials=sweep.startup_trials
    )
    return study


def _space(config: TrainConfig, fixed: Sequence[str], swept: Mapping[str, Override]) -> dict[str, Override]:
    """Search space: sweep.params, unless the command line sets the option, and the command line's own sweeps."""
    parser = OverridesParser.create()
    params = [f"{option}={values}" for option, values in config.sweep.params.items()]
    given = {word.partition("=")[0] for word in fixed}
    space = {each.key_or_group: each for each in parser.parse_overrides(params) if each.key_or_group not in given}
    if constant := [option for option, override in space.items() if not override.is_sweep_override()]:
        raise UserError(f"sweep.params: {constant[0]} has one value; write choice(…), range(…) or interval(…)")
    return {**space, **swept}


def distribution(override: Override) -> optuna.distributions.BaseDistribution:
    """Optuna's distribution for Hydra's choice(…), range(…) or interval(…), tag(log, …) included."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    if override.is_interval_sweep():
        kind = IntDistribution if isinstance(value.start, int) and isinstance(value.end, int) else FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)
    if isinstance(value, Glob):
        return CategoricalDistribution(_values(override))
    values: list[Any] = list(override.sweep_iterator(transformer=Transformer.encode))  # a list as text: Optuna has none
    # ranges stay ordered for the sampler; choices have no order
    if override.is_range_sweep() and all(isinstance(each, int) for each in values):
        return IntDistribution(min(values), max(values), step=abs(int(value.step)))
    if override.is_range_sweep():
        # sums of floats such as 0.30000000000000004 would not be multiples of the step
        low, high = (float(f"{bound(values):.12g}") for bound in (min, max))
        return FloatDistribution(low, high, step=abs(value.step))
    return CategoricalDistribution(values)


def _words(varied: Mapping[str, str]) -> list[str]:
    return [f"{option}={value}" for option, value in varied.items()]


def sweep_folder(path: str) -> Path:
    """Make and mark a sweep's folder. Raises UserError for a folder with files that are not a sweep's."""
    if not path:
        raise UserError("run.dir is empty: name a folder for the sweep")
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"run.dir={path}: that is a file; name a folder for the sweep") from None
    # a table alone, without any trial, is not a sweep's
    patterns = _OF_A_SWEEP if any(folder.glob("trial-*")) else (MARKER, *_STUDY)
    foreign = foreign_names(folder, patterns)
    if foreign and not is_marked(folder, "sweep"):
        raise UserError(
            f"run.dir={path}: this folder is not a sweep's, and it is not empty: it holds {listing(foreign)}; "
            "choose a new folder"
        )
    mark(folder, "sweep")
    return folder
