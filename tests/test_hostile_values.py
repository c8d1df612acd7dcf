"""Every number of every command's configuration is checked before any work: by reflection, so that none is missed."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from in_process import call_here
from small_runs import write_corpus
from translate.adaptation import ADAPTATIONS
from translate.compare import CompareConfig
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.decode import DecodeConfig
from translate.errors import UserError
from translate.evaluate import EvaluateConfig
from translate.explain import ExplainConfig
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES
from translate.monitor import MonitorConfig
from translate.prepare import PrepareConfig
from translate.training.config import BackTranslationConfig, RunConfig, TrainConfig
from translate.training.optimizer import check_memory

INTEGERS = [-1, 0, 2**31, 2**63, 2**70, 10**400, 10**5000]
FLOATS = [math.nan, math.inf, -math.inf, -0.0, 1e308, -1e308, 1e-308, -1.0]
MEMORY = 16 * 10**9  # of an imagined machine
Option = tuple[str | int, ...]  # names of fields, keys and indices that lead to a value


def options(config: Any, path: Option = ()) -> Iterator[tuple[Option, list[Any]]]:
    """Every number below a configuration, by its path, with the hostile values of its type."""
    if dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            kind = str(field.type)
            if value is None and ("int" in kind or "float" in kind):  # int | None or float | None
                yield (*path, field.name), INTEGERS if "int" in kind else FLOATS
            yield from options(value, (*path, field.name))
    elif isinstance(config, list | dict):
        for key, value in config.items() if isinstance(config, dict) else enumerate(config):
            yield from options(value, (*path, key))
    elif isinstance(config, int | float) and not isinstance(config, bool):
        yield path, INTEGERS if isinstance(config, int) else FLOATS


def changed(config: Any, path: Option, value: Any) -> Any:
    """A copy of a configuration with one value changed."""
    config = inner = copy.deepcopy(config)
    for key in path[:-1]:
        inner = getattr(inner, key) if isinstance(key, str) and not isinstance(inner, dict) else inner[key]
    if isinstance(inner, list | dict):
        inner[path[-1]] = value
    else:
        setattr(inner, str(path[-1]), value)
    return config


def check(config: Any, path: Option = ("model",)) -> None:
    config.check()
    if isinstance(config, TrainConfig) and path[0] in ("model", "tokenizer", "search"):
        check_memory(config, MEMORY)


def corpora(folder: Path) -> DataConfig:
    def files(split: str) -> CorpusConfig:
        return CorpusConfig(source=str(folder / f"{split}.src"), target=str(folder / f"{split}.tgt"))

    return DataConfig(train=files("train"), additional=[files("train")], valid=files("valid"), test=files("test"))


def train_config(data: DataConfig, architecture: str = "transformer", method: str = "none") -> TrainConfig:
    return TrainConfig(
        data=data,
        model=ARCHITECTURES[architecture][0](),
        adapt=ADAPTATIONS[method][0](method=method, model="" if method == "none" else "some"),
        auxiliary={name: kind() for name, (kind, _) in AUXILIARY_LOSSES.items()},
        back_translation=BackTranslationConfig(monolingual=data.train.target),
        run=RunConfig(max_steps=10),
    )


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A valid configuration of every command that has numbers, and of every choice that brings its own."""
    data = corpora(write_corpus(tmp_path_factory.mktemp("corpus"), pairs=3))
    return {
        "train": train_config(data),
        **{f"train model={name}": train_config(data, name) for name in ARCHITECTURES},
        **{f"train adapt={method}": train_config(data, method=method) for method in ADAPTATIONS},
        "decode": DecodeConfig(model="m"),
        "evaluate": EvaluateConfig(model="m", source="s", reference="r"),
        "explain": ExplainConfig(model="m", input="i"),
        "compare": CompareConfig(reference="r", baseline="b"),
        "monitor": MonitorConfig(model="m", log="l"),
        "prepare": PrepareConfig(data=data),
    }


def test_hostile_numbers_are_refused_by_name_or_harmless(configs):
    tried = 0
    for command, config in configs.items():
        check(config)
        # of a choice, the numbers that "train" does not have
        part = command.partition("=")[0].removeprefix("train ") if "=" in command else ""
        for path, values in options(config):
            for value in values if not part or path[0] == part else []:
                tried += 1
                try:
                    check(changed(config, path, value), path)
                except UserError as error:
                    message = str(error)
                    assert str(path[-2 if isinstance(path[-1], int) else -1]) in message, (command, path, message)
                    assert "\n" not in message, (command, path)
                    assert len(message) < 400, (command, path)
    assert tried > 1000


@pytest.mark.parametrize("word", ["search=5", "search=true", "data=1.5", "search=null"])
def test_choices_of_a_group_that_are_no_names_are_refused_with_the_choices(word):
    done = call_here("train", word)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(f"error: {word}: unknown choice; choices: ")


@pytest.mark.parametrize("word", ["=5", "=", "+=x"])
def test_a_value_without_an_option_is_refused(word):
    done = call_here("train", word)
    assert done.stderr.decode() == f"error: {word}: there is no option before the equals sign\n"
