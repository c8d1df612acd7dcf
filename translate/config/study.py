"""Searches by Optuna (sweep=optuna): a study proposes the settings of each trial, and stores all trials.

Optuna: Akiba et al. 2019; its sampler TPE: Bergstra et al. 2011.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Transformer

from translate.config.sweep import (
    Choices,
    Run,
    ToConfig,
    option_words,
    require_success,
    run_trial,
    sweep_folder,
    values_of,
)
from translate.errors import UserError, import_extra
from translate.locks import ProcessLock
from translate.signals import stop_signals
from translate.training.config import TrainConfig
from translate.training.progress import is_minimised
from translate.training.run_folder import RunFolder
from translate.training.stopping import TRIALS_LOCK, Trial, trial_folder

if TYPE_CHECKING:
    import optuna

Distributions = dict[str, "optuna.distributions.BaseDistribution"]


def search(
    config: TrainConfig,
    fixed: Sequence[str],
    swept: Mapping[str, Override],
    to_config: ToConfig,
    run: Run,
    choices: Choices,
) -> None:
    """Train trials with settings proposed by Optuna; its study in run.dir keeps the trials of earlier sessions."""
    import_extra("optuna", extra="sweep", purpose="sweep=optuna")
    space = _space(config, fixed, swept)
    distributions = {option: distribution(override, choices) for option, override in space.items()}
    if not distributions:
        raise UserError("sweep=optuna has nothing to search: set sweep.params, or model.dropout=interval(0.0, 0.3)")
    folder = sweep_folder(config.run.dir)
    with _storage_errors(config):
        _continue_study(_study(config, folder), config, folder, fixed, distributions, to_config, run)


def _continue_study(
    study: optuna.Study,
    config: TrainConfig,
    folder: Path,
    fixed: Sequence[str],
    distributions: Distributions,
    to_config: ToConfig,
    run: Run,
) -> None:
    """Run this session's trials of a study."""
    import optuna

    _require_same_search(study, config, distributions)
    failed, found = optuna.trial.TrialState.FAIL, list[float]()
    for _ in range(config.sweep.trials):
        with _next_trial(study, config, folder, distributions) as drawn:
            varied = {option: str(value) for option, value in drawn.params.items()}
            trial = Trial(
                sweep=folder,
                number=drawn.number,
                metric=config.validation.metric,
                varied=varied,
                pruner=drawn if config.pruning.trials else None,
                reported=set(study.trials[drawn.number].intermediate_values),
            )
            try:
                value = run_trial(to_config([*fixed, *option_words(varied)]), trial, run)
            except Exception:
                study.tell(drawn, state=failed)  # or each session would try these settings again, and fail
                raise
            if value is not None:
                # a diverged run is a failure: Optuna accepts no NaN as a value
                study.tell(drawn, **({"state": failed} if math.isnan(value) else {"values": value}))
                found.append(value)
        if stop_signals.received:
            return
    require_success(found)


@contextmanager
def _next_trial(
    study: optuna.Study, config: TrainConfig, sweep: Path, distributions: Distributions
) -> Iterator[optuna.Trial]:
    """An unfinished trial of an earlier session, else a new one; the folder of its run is locked inside the context."""
    import optuna

    with ExitStack() as stack:
        with ProcessLock(sweep / TRIALS_LOCK):  # several processes may share a study
            for left in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                folder = RunFolder(trial_folder(sweep, left.number))
                if folder.path.is_dir() and _is_free(folder):
                    drawn = optuna.Trial(study, left._trial_id)
                    break
            else:
                folder = RunFolder(trial_folder(sweep, len(study.trials)))
                if folder.has_begun:
                    raise UserError(
                        f"{folder.path} has a run, but the study has no such trial: it is not the one of this folder; "
                        "bring the study back (study.db, name=), or choose another run.dir"
                    )
                # a seed for each trial, so that successive and concurrent sessions draw different settings
                seed = (config.sweep.seed + len(study.trials)) % 2**32
                study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=config.sweep.startup_trials)
                drawn = study.ask(distributions)
                folder.claim()
            stack.enter_context(folder)
        yield drawn


def _is_free(folder: RunFolder) -> bool:
    """Lock the folder of a trial's run, unless another process is using it."""
    try:
        folder.claim()
    except UserError:
        return False
    return True


def _study(config: TrainConfig, folder: Path) -> optuna.Study:
    import optuna

    sweep, pruning = config.sweep, config.pruning
    # the log has its own lines about trials
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=config.name,
        storage=sweep.storage or f"sqlite:///{folder}/study.db",
        direction="minimize" if is_minimised(config.validation.metric) else "maximize",
        # trials report every validation under its step, so that the warm-up is counted in updates
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=pruning.trials, n_warmup_steps=pruning.validations * config.validation.every
        ),
        load_if_exists=True,
    )


@contextmanager
def _storage_errors(config: TrainConfig) -> Iterator[None]:
    """Convert errors of the study's database, such as a damaged file or a full disk, to UserErrors."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    where = f"sweep.storage={config.sweep.storage}" if config.sweep.storage else f"{config.run.dir}/study.db"
    try:
        yield
    except StorageInternalError as error:
        cause = getattr(error.__cause__, "orig", error)  # the database's own error
        raise UserError(f"{where}: {cause}; the same command continues the sweep") from None
    except (SQLAlchemyError, ImportError) as error:  # where the study is opened
        reason = str(error).partition("\n")[0].rstrip(".")
        remedy = "" if config.sweep.storage else "; bring it back, or choose another run.dir"
        raise UserError(f"{where}: the study cannot be used: {reason}{remedy}") from None


def _require_same_search(study: optuna.Study, config: TrainConfig, distributions: Distributions) -> None:
    """Raise UserError for a study with another metric, or with values outside the search space."""
    import optuna

    metric = config.validation.metric
    wanted = optuna.study.StudyDirection.MINIMIZE if is_minimised(metric) else optuna.study.StudyDirection.MAXIMIZE
    before = study.user_attrs.get("metric", metric)  # those of earlier versions do not name it
    if before != metric or study.direction != wanted:
        other = f"by {before}" if before != metric else "by another metric"
        raise UserError(
            f"validation.metric={metric}: the study of this folder has scores {other}, which cannot be compared; "
            "choose another run.dir"
        )
    study.set_user_attr("metric", metric)
    for trial in study.get_trials(deepcopy=False):
        for option, known in trial.distributions.items():
            try:
                optuna.distributions.check_distribution_compatibility(known, distributions.get(option, known))
            except ValueError:
                raise UserError(
                    f"{option}: the study of this folder searches other values, {known}; choose another run.dir"
                ) from None


def _space(config: TrainConfig, fixed: Sequence[str], swept: Mapping[str, Override]) -> dict[str, Override]:
    """Search space: sweep.params, unless the command line sets the option, and the command line's own sweeps."""
    parser = OverridesParser.create()
    params = [f"{option}={values}" for option, values in config.sweep.params.items()]
    given = {word.partition("=")[0] for word in fixed}
    space = {each.key_or_group: each for each in parser.parse_overrides(params) if each.key_or_group not in given}
    if constant := [option for option, override in space.items() if not override.is_sweep_override()]:
        raise UserError(f"sweep.params: {constant[0]} has one value; write choice(…), range(…) or interval(…)")
    return {**space, **swept}


def distribution(override: Override, choices: Choices) -> optuna.distributions.BaseDistribution:
    """Optuna's distribution for Hydra's choice(…), range(…) or interval(…), tag(log, …) included."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    if override.is_interval_sweep():
        kind = IntDistribution if isinstance(value.start, int) and isinstance(value.end, int) else FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)
    if isinstance(value, Glob):
        return CategoricalDistribution(values_of(override, choices))
    values: list[Any] = list(override.sweep_iterator(transformer=Transformer.encode))  # a list as text: Optuna has none
    # ranges stay ordered for the sampler; choices have no order
    if override.is_range_sweep() and all(isinstance(each, int) for each in values):
        return IntDistribution(min(values), max(values), step=abs(int(value.step)))
    if override.is_range_sweep():
        # sums of floats such as 0.30000000000000004 would not be multiples of the step
        low, high = (float(f"{bound(values):.12g}") for bound in (min, max))
        return FloatDistribution(low, high, step=abs(value.step))
    return CategoricalDistribution(values)
