"""The words of a command line: flags, options, and what Hydra's grammar would refuse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from translate.config.options import CONFIGS, unknown_flag, unknown_option
from translate.console import print_notes
from translate.errors import UserError

# options of Hydra's plugin for Optuna that earlier versions used, and their names now
_FORMER = {
    "hydra.sweeper.n_trials": "sweep.trials",
    "hydra.sweeper.direction": "",  # follows from validation.metric
    "hydra.sweeper.storage": "sweep.storage",
    "hydra.sweeper.sampler.seed": "sweep.seed",
    "hydra.sweeper.sampler.n_startup_trials": "sweep.startup_trials",
}
_FORMER_PARAMS = "hydra.sweeper.params."

_OWN_TEXT = "data=text_files"
# options of data.train that name the text; others (take, weight, tag, …) change how the chosen corpus is used
_NAMING = ("source", "target", "path", "format", "name")
_TRAIN = "data.train"


@dataclass(frozen=True)
class CommandLine:
    """A command line, read.

    overrides   options for Hydra to compose
    own         options that Hydra must not see, because a group of choices has the same name
    config_dir  folder of further YAML files; "" for none
    """

    overrides: list[str] = field(default_factory=list)
    own: dict[str, str] = field(default_factory=dict)
    help: bool = False
    version: bool = False
    multirun: bool = False
    config_dir: str = ""

    def names(self) -> list[str]:
        """Names of the options that are set."""
        return [word.partition("=")[0].lstrip("+~") for word in self.overrides]


def read_command_line(name: str, schema: type[Any], words: Sequence[str], known: Sequence[str]) -> CommandLine:
    """Read a command's words. Raises UserError for flags that there are not.

    known  all option names of the command, for hints
    """
    flags, options = _split(words, known)
    own = _own_options(schema, options)
    overrides = [_renamed(word) for word in options if word.partition("=")[0] not in own]
    overrides = [_quoted(word) if _is_refused(word) else word for word in overrides if word]
    if _needs_own_text(name, overrides):
        overrides.append(_OWN_TEXT)
    return CommandLine(
        overrides=overrides,
        own=own,
        help="--help" in flags,
        version="--version" in flags,
        multirun="--multirun" in flags,
        config_dir=flags.get("--config-dir", ""),
    )


def _split(words: Sequence[str], known: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The flags with their values, and the options."""
    short = {"-h": "--help", "-m": "--multirun", "-cd": "--config-dir"}
    flags: dict[str, str] = {}
    options: list[str] = []
    remaining = iter(words)
    for word in remaining:
        flag, _, value = word.partition("=")
        flag = short.get(flag, flag)
        if not word.startswith("-"):
            options.append(word)
        elif flag == "--config-dir":
            flags[flag] = str(Path(value or next(remaining, ".")).resolve())
        elif flag in ("--help", "--multirun", "--version"):
            flags[flag] = value
        else:
            raise UserError(unknown_flag(word, known))
    return flags, options


def _own_options(schema: type[Any], options: Sequence[str]) -> dict[str, str]:
    """Options that have the name of a group: model= chooses an architecture in training, and is a folder elsewhere."""
    texts = {each.name for each in dataclasses.fields(schema) if each.type in ("str", str)}
    pairs = dict(word.split("=", 1) for word in options if "=" in word)
    return {key: value for key, value in pairs.items() if key in texts and (CONFIGS / key).is_dir()}


def _renamed(word: str) -> str:
    """A former option under its new name, with a warning; "" where it has no effect any more."""
    key, equals, value = word.partition("=")
    if not key.startswith("hydra.") or not equals:
        return word
    if key.startswith(_FORMER_PARAMS):
        new = f"{key.removeprefix(_FORMER_PARAMS)}={value.strip(chr(39) + chr(34))}"
    elif key in _FORMER:
        new = f"{_FORMER[key]}={value}" if _FORMER[key] else ""
    else:
        raise UserError(unknown_option(key, list(_FORMER)))
    instead = f"write {new}" if new else "it follows from validation.metric"
    print_notes(warning=f"{key} is an option of earlier versions; {instead}")
    return new


def _is_refused(word: str) -> bool:
    """True for a value that Hydra's grammar refuses without quotes, such as a file name with "=" or "#" in it.

    What begins a dictionary or a quotation, or holds one in a list, stays as it is: there a refusal is of use.
    """
    _, equals, value = word.partition("=")
    if not equals or value.startswith(("{", "'", '"')):
        return False
    if value.startswith("[") and (not value.endswith("]") or set("'\"{") & set(value) or value.count("[") > 1):
        return False
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return True
    return False


def _quoted(word: str) -> str:
    key, _, value = word.partition("=")
    if not value.startswith("["):
        return f"{key}={_in_quotes(value)}"
    return f"{key}=[{','.join(_in_quotes(item.strip()) for item in value[1:-1].split(','))}]"


def _in_quotes(text: str) -> str:
    return str(QuotedString(text, Quote.single).with_quotes())


def _needs_own_text(name: str, overrides: Sequence[str]) -> bool:
    """True where the command line, or its experiment, names training text and no data=.

    The default corpus's validation and test sets, labels and languages do not suit another text.
    """
    defaults = _read(CONFIGS / f"{name}.yaml").get("defaults", [])
    if not any(isinstance(entry, dict) and "data" in entry for entry in defaults):
        return False
    options = {key.lstrip("+"): value for key, equals, value in (word.partition("=") for word in overrides) if equals}
    experiments = [_read(path) for path in _experiments(options.get("experiment", ""))]
    if "data" in options or any(_chooses_data(experiment) for experiment in experiments):
        return False
    return _names_text(options) or any(_names_text(_train_options(body)) for body in experiments)


def _names_text(options: dict[str, str]) -> bool:
    keys = [f"{_TRAIN}.{name}" for name in _NAMING]
    whole = options.get(_TRAIN, "")
    return any(options.get(key) for key in keys) or any(f"{name}:" in whole for name in _NAMING)


def _experiments(choices: str) -> Iterator[Path]:
    """The files of the chosen experiments, of which a sweep has several, with those that they build upon."""
    paths = [CONFIGS / "experiment" / f"{choice.strip()}.yaml" for choice in choices.strip("[]").split(",")]
    seen: set[Path] = set()
    while paths:
        path = paths.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        yield path
        entries = _read(path).get("defaults", [])
        paths += [path.parent / f"{entry}.yaml" for entry in entries if isinstance(entry, str) and entry != "_self_"]


def _chooses_data(experiment: dict[str, Any]) -> bool:
    entries = (entry for entry in experiment.get("defaults", []) if isinstance(entry, dict))
    return any(key.split()[-1].lstrip("/") == "data" for entry in entries for key in entry)


def _train_options(experiment: dict[str, Any]) -> dict[str, str]:
    train = (experiment.get("data") or {}).get("train") or {}
    return {f"{_TRAIN}.{key}": str(value) for key, value in train.items()}


def _read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
