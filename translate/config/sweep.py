"""Sweeps (--multirun): one run for each combination of values, or for each draw of Optuna's.

Optuna: Akiba et al. 2019; its sampler TPE: Bergstra et al. 2011.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Transformer

from translate.console import logger, print_notes
from translate.distributed import launched_as
from translate.errors import DivergedError, UserError, import_extra
from translate.folders import MARKER, foreign_names, is_marked, listing, mark
from translate.locks import ProcessLock
from translate.signals import stop_signals
from translate.training.config import SweepMethod, TrainConfig, is_minimised
from translate.training.parallel import decide_run
from translate.training.run_folder import RunFolder
from translate.training.stopping import TRIALS_LOCK, Trial, trial_folder

if TYPE_CHECKING:
    import optuna

# files of a sweep's folder, as patterns of names; the first two are of earlier versions
_STUDY = ("multirun.yaml", "optimization_results.yaml", "study.db*")
_OF_A_SWEEP = (MARKER, *_STUDY, "trials.tsv", f"{TRIALS_LOCK}*", "trial-*")

Run = Callable[..., float | None]
ToConfig = Callable[[Sequence[str]], Any]
Choices = Callable[[str], list[str]]
Distributions = dict[str, "optuna.distributions.BaseDistribution"]


def run_sweep(words: Sequence[str], to_config: ToConfig, run: Run, choices: Choices) -> None:
    """Train one model for each trial of a sweep, each in a folder of its own below run.dir.

    words      the options of the command line, some of which have several values
    to_config  a configuration of options with one value each
    choices    names that a group offers, for glob(…)

    Raises UserError where the sweep cannot work.
    """
    overrides = OverridesParser.create().parse_overrides(list(words))
    swept = {override.key_or_group: override for override in overrides}  # the last one counts
    swept = {option: override for option, override in swept.items() if override.is_sweep_override()}
    fixed = [word for word, each in zip(words, overrides, strict=True) if each.key_or_group not in swept]
    # with a value for each option: one that is not swept may exist in a swept group alone
    config = to_config([*fixed, *_words({option: _first(override, choices) for option, override in swept.items()})])
    if not isinstance(config, TrainConfig):
        raise UserError("--multirun is for the train command")
    if launched_as()[1] > 1:
        raise UserError("a sweep trains its models one after the other, each in one process: start it without torchrun")
    if config.sweep.method is SweepMethod.optuna:
        # before anything of it is imported
        import_extra("optuna", extra="sweep", purpose="sweep=optuna")
        with _storage_errors(config):
            _search(config, fixed, swept, to_config, run, choices)
        return
    trials = [(varied, to_config([*fixed, *_words(varied)])) for varied in grid(swept, choices)]
    for _, trial_config in trials:
        # a mistake in the last trial is found before the first one trains
        trial_config.check()
        decide_run(trial_config)
    folder, found = sweep_folder(config.run.dir), list[float]()
    for number, (varied, trial_config) in enumerate(trials):
        trial = Trial(sweep=folder, number=number, metric=config.validation.metric, varied=varied)
        value = run_trial(trial_config, trial, run)
        if value is None or stop_signals.received:
            return
        found.append(value)
    _require_success(found)


def grid(swept: Mapping[str, Override], choices: Choices) -> Iterator[dict[str, str]]:
    """All combinations of values; the last option varies fastest."""
    for override in swept.values():
        if not override.is_discrete_sweep():
            raise UserError(f"{override.input_line}: an interval is for sweep=optuna")
    for values in product(*(_values(override, choices) for override in swept.values())):
        yield dict(zip(swept, values, strict=True))


def _values(override: Override, choices: Choices) -> list[str]:
    """Values of choice(…), range(…), glob(…) or a list, as they are written in an option."""
    value = override.value()
    if not isinstance(value, Glob):
        return list(override.sweep_string_iterator())
    offered = choices(override.key_or_group)
    if found := value.filter(offered):
        return list(found)
    raise UserError(f"{override.input_line}: no choice matches; choices: {', '.join(offered) or 'none'}")


def _first(override: Override, choices: Choices) -> str:
    value: Any = override.value()
    return str(value.start) if override.is_interval_sweep() else _values(override, choices)[0]


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


def _require_success(values: Sequence[float]) -> None:
    """Raise DivergedError where training has diverged in every trial: the exit status is then no success."""
    if values and all(map(math.isnan, values)):
        raise DivergedError("training has diverged in every trial; sweep lower values of optimizer.learning_rate")


def _search(
    config: TrainConfig,
    fixed: Sequence[str],
    swept: Mapping[str, Override],
    to_config: ToConfig,
    run: Run,
    choices: Choices,
) -> None:
    """Let Optuna draw the settings of each trial; a study in run.dir remembers those of earlier sessions."""
    import optuna

    space = _space(config, fixed, swept)
    distributions = {option: distribution(override, choices) for option, override in space.items()}
    if not distributions:
        raise UserError("sweep=optuna has nothing to search: set sweep.params, or model.dropout=interval(0.0, 0.3)")
    folder = sweep_folder(config.run.dir)
    study = _study(config, folder)
    failed, found = optuna.trial.TrialState.FAIL, list[float]()
    for _ in range(config.sweep.trials):
        with _next_trial(study, folder, distributions) as drawn:
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
                value = run_trial(to_config([*fixed, *_words(varied)]), trial, run)
            except Exception:
                study.tell(drawn, state=failed)  # or each session would try these settings again, and fail
                raise
            if value is not None:
                # a diverged run is a failure: Optuna accepts no NaN as a value
                study.tell(drawn, **({"state": failed} if math.isnan(value) else {"values": value}))
                found.append(value)
        if stop_signals.received:
            return
    _require_success(found)


@contextmanager
def _next_trial(study: optuna.Study, sweep: Path, distributions: Distributions) -> Iterator[optuna.Trial]:
    """The trial that a killed or interrupted session has left, else a new one; its run's folder is locked meanwhile."""
    import optuna

    with ExitStack() as stack:
        with ProcessLock(sweep / TRIALS_LOCK):  # several processes may share a study
            for left in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                folder = RunFolder(trial_folder(sweep, left.number))
                if folder.path.is_dir() and _is_free(folder):
                    drawn = optuna.Trial(study, left._trial_id)
                    break
            else:
                drawn = study.ask(distributions)
                folder = RunFolder(trial_folder(sweep, drawn.number))
                folder.claim()
            stack.enter_context(folder)
        yield drawn


def _is_free(folder: RunFolder) -> bool:
    """Lock the folder of a trial's run, unless another process is at work on it."""
    try:
        folder.claim()
    except UserError:
        return False
    return True


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
        seed=(sweep.seed + len(study.trials)) % 2**32, n_startup_trials=sweep.startup_trials
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


def distribution(override: Override, choices: Choices) -> optuna.distributions.BaseDistribution:
    """Optuna's distribution for Hydra's choice(…), range(…) or interval(…), tag(log, …) included."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    if override.is_interval_sweep():
        kind = IntDistribution if isinstance(value.start, int) and isinstance(value.end, int) else FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)
    if isinstance(value, Glob):
        return CategoricalDistribution(_values(override, choices))
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
