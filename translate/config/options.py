"""Options and choices of a command: the text of --help, and messages for mistakes."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from translate.console import print_notes
from translate.errors import UserError
from translate.files import CONFIGS

# options of Hydra's Optuna plugin, used by earlier versions -> present names
_FORMER = {
    "hydra.sweeper.n_trials": "sweep.trials",
    "hydra.sweeper.direction": "",  # follows from validation.metric
    "hydra.sweeper.storage": "sweep.storage",
    "hydra.sweeper.sampler.seed": "sweep.seed",
    "hydra.sweeper.sampler.n_startup_trials": "sweep.startup_trials",
}
FORMER_SWEEP = (
    "a YAML file sets hydra.sweeper, as in earlier versions: write sweep.method, sweep.trials and sweep.params "
    "instead; configs/sweep/optuna.yaml is an example"
)
_FORMER_PARAMS = "hydra.sweeper.params."
# names of options in other toolkits -> names here
_OTHER_NAMES = {
    "lr": "optimizer.learning_rate",
    "batch_size": "batch.tokens",
    "epochs": "run.max_epochs",
    "steps": "run.max_steps",
    "beam": "search.beam_size",
    "num_beams": "search.beam_size",
    "nbest": "search.n_best",
    "lenpen": "search.length_penalty",
    "warmup": "schedule.warmup_steps",
    "fp16": "compute.precision",
    "device": "compute.device",
    "output_dir": "run.dir",
    "save_dir": "run.dir",
}
_MIN_SIMILARITY = 0.7  # of two names, from 0 to 1, for a hint
_EVALUATION_SETS = (
    "a set has several options (path, source, …); with data=text_files and no data.valid option, validation and test "
    "pairs are held out from data.train"
)


def choices_of(group: str, directory: str = "") -> list[str]:
    """Names of a group's choices, in alphabetical order; directory: searched for YAML files besides configs/."""
    folders = [CONFIGS, *([Path(directory)] if directory else [])]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def help_text(name: str, schema: type[Any], composed: DictConfig, directory: str = "") -> str:
    """Text of --help: description of the command, choices of each group, and all options with their values."""
    defaults = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))["defaults"]
    # keys with a space are directives ("override …"), not groups
    groups = [key for entry in defaults if isinstance(entry, dict) for key in entry if " " not in key]
    options = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "chosen"])
    return "\n".join(
        [
            f"usage: python -m translate.{name} [NAME=VALUE ...]",
            *(["", inspect.cleandoc(schema.__doc__)] if schema.__doc__ else []),
            "",
            "Choices (NAME=CHOICE):",
            *(f"  {group}: {', '.join(choices_of(group, directory))}" for group in groups),
            "",
            "Options (NAME=VALUE) with their current values:",
            textwrap.indent(OmegaConf.to_yaml(options), "  "),
            "Flags: --help, --version, --config-dir FOLDER (further YAML files)"
            + (", --multirun (several values: a sweep)" if "sweep" in groups else ""),
        ]
    )


def config_dir(path: str) -> str:
    """Absolute path of the folder given by --config-dir. Raises UserError if it does not exist."""
    if not path:
        raise UserError("--config-dir needs a folder of YAML files: --config-dir FOLDER")
    folder = Path(path).expanduser().resolve()  # absolute, as Hydra wants a URL
    if not folder.is_dir():
        raise UserError(f"--config-dir {path}: no such folder")
    return str(folder)


def quoted(word: str) -> str:
    """The option with quotes around its value, or around each item of a list."""
    key, _, value = word.partition("=")
    is_list = value.startswith("[")
    texts = [item.strip() for item in value[1:-1].split(",")] if is_list else [value]
    quoted = ",".join(str(QuotedString(text, Quote.single).with_quotes()) for text in texts)
    return f"{key}=[{quoted}]" if is_list else f"{key}={quoted}"


def known_options(schema: type[Any], choices: Mapping[str, Any], additions: Mapping[str, Any]) -> list[str]:
    """All dotted option names of a command, for all choices; the tables are those of run_command."""
    others = [(kind, f"{group}.") for group, table in choices.items() for kind, _ in table.values()]
    others += [(kind, f"{group}.{name}.") for group, table in additions.items() for name, (kind, _) in table.items()]
    return list(dict.fromkeys(chain(_names(schema), *(_names(*other) for other in others))))


def _names(schema: type[Any], prefix: str = "") -> Iterator[str]:
    """All dotted option names in a dataclass."""
    defaults = schema()
    for field in dataclasses.fields(schema):
        yield prefix + field.name
        value = getattr(defaults, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _names(type(value), f"{prefix}{field.name}.")


def require_known(composed: DictConfig, known: Sequence[str]) -> None:
    """Raise UserError with the nearest name for an option that the dataclasses of a configuration do not have."""
    for key in _unknown_options(composed):
        raise UserError(unknown_option(key, known))


def _unknown_options(config: Any, prefix: str = "") -> Iterator[str]:
    """Options that +name=value has added although the dataclass does not have them."""
    if isinstance(config, ListConfig):
        for number, item in enumerate(config):
            yield from _unknown_options(item, f"{prefix}{number}.")
    if isinstance(config, DictConfig):
        kind = OmegaConf.get_type(config)
        names = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else None
        for key in map(str, config):
            if names is not None and key not in names:
                yield f"{prefix}{key}"
            # interpolations refer to options that are checked elsewhere
            elif not OmegaConf.is_interpolation(config, key) and not OmegaConf.is_missing(config, key):
                yield from _unknown_options(config[key], f"{prefix}{key}.")


def message_for(error: Exception, known: Sequence[str], directory: str = "") -> str:
    """Message for an error of Hydra or OmegaConf, with the nearest existing name.

    known      all option names
    directory  further YAML files, beside configs/
    """
    message = str(error).strip()
    cause = error.__cause__
    # Hydra's errors have no codes: recognise them by their first words
    if isinstance(error, MissingConfigException) and "/" in str(error.missing_cfg_file):
        group, _, choice = str(error.missing_cfg_file).partition("/")
        if group == "hydra":
            return FORMER_SWEEP
        return unknown_choice(group, choice, directory)
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if message.startswith("Ambiguous value"):
        key, _, values = message.split("'")[1].partition("=")
        return f"{key}={values}: a list is written {key}=[{values}]; to try one value after the other, add --multirun"
    if message.startswith("Could not override"):
        return unknown_option(message.split("'")[1], known)
    if isinstance(cause, OmegaConfBaseException):
        override = message.removeprefix("Error merging override ").split("\n")[0]
        if override.partition("=")[0] in ("data.valid", "data.test"):
            return f"{override}: {_EVALUATION_SETS}"
        if "is not a ListConfig" in str(cause):
            return "{0}={1}: a list is written {0}=[{1}]".format(*override.split("=", 1))
        return f"{override}: {str(cause.msg or cause).split(chr(10))[0]}"
    if isinstance(error, OmegaConfBaseException) and error.full_key:  # further lines are about internal types
        return f"{error.full_key}: {message.splitlines()[0]}"
    return message.split("\nSee https://hydra.cc")[0]


def unknown_option(name: str, known: Sequence[str]) -> str:
    """Message for an option that does not exist, with the nearest existing name."""
    if name in known:
        return f"{name}: the choice of {name.partition('.')[0]} does not have this option"
    nearest = _nearest(name, known)
    return f"unknown option {name}; " + (f"did you mean {nearest}?" if nearest else "--help lists them")


def unknown_flag(word: str, known: Sequence[str]) -> str:
    """Message for a word that begins with a dash and is not a flag."""
    name, equals, value = word.lstrip("-").partition("=")
    hint = _nearest(name.replace("-", "_"), known)
    instead = f"; did you mean {hint}={value if equals else '…'}?" if hint else ""
    return f"unknown flag {word}: options are written name=value, without dashes{instead or '; --help lists them'}"


def unknown_choice(group: str, choice: str, directory: str = "") -> str:
    """Message for a choice that a group does not offer, with the nearest one."""
    offered = choices_of(group, directory)
    nearest = difflib.get_close_matches(choice, offered, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    if group == "model" and "/" in choice:
        hint = "; to train a stored model further, set adapt=full adapt.model=FOLDER"
    return f"{group}={choice}: unknown choice{hint}; choices: {', '.join(offered)}"


def _unreadable(override: str) -> str:
    if "=" not in override:
        return f"{override}: an option is written name=value; --help lists them"
    return f"{override}: a bracket or quote is not closed, or text in it needs quotes, as in [{{tag: '<bt>'}}]"


def _nearest(name: str, known: Sequence[str]) -> str:
    """The existing name that was most likely meant; "" if none is similar."""
    last = name.rpartition(".")[2]
    if _OTHER_NAMES.get(last) in known:
        return _OTHER_NAMES[last]
    # prefer the same name in another group to a similar spelling
    candidates = [each for each in known if each.rpartition(".")[2] == last] or known

    def similarity(each: str) -> float:
        # with and without the group, since either part may be misspelled
        parts = (name, each), (last, each.rpartition(".")[2])
        return max(difflib.SequenceMatcher(None, *pair).ratio() for pair in parts)

    nearest = max(candidates, key=similarity, default="")
    return nearest if similarity(nearest) >= _MIN_SIMILARITY else ""


def rename_former(word: str) -> str | None:
    """Translate an option of Hydra to its present name, with a warning; None if it no longer has an effect.

    Raises UserError for other options of Hydra.
    """
    key, _, value = word.lstrip("+~").partition("=")
    new: str | None
    if key.startswith(_FORMER_PARAMS):
        new = f"{key.removeprefix(_FORMER_PARAMS)}={value.strip(chr(39) + chr(34))}"
    elif key in _FORMER:
        new = f"{_FORMER[key]}={value}" if _FORMER[key] else None
    else:
        raise UserError(unknown_option(key, list(_FORMER)))
    instead = f"write {new}" if new else "it follows from validation.metric"
    print_notes(warning=f"{key} is an option of earlier versions; {instead}")
    return new


def may_be_choice(word: str) -> bool:
    """True for GROUP=VALUE with a value that can name a choice: neither null nor a number."""
    with suppress(HydraException):
        value = OverridesParser.create().parse_override(word).value()
        return value is not None and not isinstance(value, bool | int | float | dict)
    return True


def is_refused_value(word: str) -> bool:
    """True for a value that Hydra's grammar refuses without quotes, such as a file name with "=" or "#".

    False for dictionaries, quoted text and lists of these, for which Hydra's error is helpful.
    """
    _, equals, value = word.partition("=")
    if not equals or value.startswith(("{", "'", '"')):
        return False
    if value != value.strip() and not value.strip().startswith("["):
        return True  # Hydra would strip the spaces, which may belong to a file name
    if value.startswith("[") and (not value.endswith("]") or set("'\"{") & set(value) or value.count("[") > 1):
        return False
    with suppress(HydraException):
        OverridesParser.create().parse_override(word)
        return False
    return True
