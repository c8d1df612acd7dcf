"""A model directory: weights, architecture, tokenizer and a manifest that says where they came from.

weights.safetensors  model.yaml  tokenizer.model (or one per side)  manifest.json
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml
from safetensors import SafetensorError
from torch import Tensor, nn

from translate.errors import UserError
from translate.models import ARCHITECTURES, ModelConfig, build_model
from translate.models.seq2seq import Seq2Seq
from translate.models.vocabulary import Vocabularies
from translate.tokenizer import Tokenizer

WEIGHTS, MODEL, MANIFEST = "weights.safetensors", "model.yaml", "manifest.json"

Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in evaluation mode on its device, its tokenizer, and what its manifest says."""

    model: Seq2Seq
    tokenizer: Tokenizer
    manifest: dict[str, Any]
    directory: Path


def weights_of(model: nn.Module) -> Weights:
    """The parameters by name, each shared one once; detached, not copied."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def set_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights, as weights_of names them, into a model."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])


def save_model(
    directory: Path,
    *,
    weights: Weights,
    config: ModelConfig,
    tokenizer: Tokenizer,
    manifest: Mapping[str, Any],
) -> None:
    """Write a model directory; one that was there before is replaced only by a complete one."""
    with replaced_directory(directory) as new:
        write_weights(weights, new / WEIGHTS)
        (new / MODEL).write_text(yaml.safe_dump(_plain(config), sort_keys=False), encoding="utf-8")
        tokenizer.save(new)
        content = {**manifest, "tokenizer": tokenizer.hash}
        (new / MANIFEST).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_weights(weights: Weights, path: Path) -> None:
    # not save_file: its errors do not say which, a full disk among them
    path.write_bytes(safetensors.torch.save({name: x.contiguous().cpu() for name, x in weights.items()}))


def load_model(path: str | Path, *, device: torch.device) -> LoadedModel:
    """The model in a model directory, or in best/ of a run's folder.

    Raises UserError when a file is missing or damaged, or the files do not belong together.
    """
    directory = find_model(Path(path))
    tokenizer, manifest = read_origin(directory)
    model = build_model(read_config(directory / MODEL), vocabularies_of(tokenizer))
    set_weights(model, _read_weights(directory / WEIGHTS, model))
    return LoadedModel(model.to(device).eval(), tokenizer, manifest, directory)


def read_origin(directory: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer and the manifest beside a model's weights. Raises UserError if they do not belong together."""
    manifest = _read_json(directory / MANIFEST)
    tokenizer = Tokenizer.load(directory)
    if manifest.get("tokenizer") != tokenizer.hash:
        raise UserError(
            f"{directory}: this tokenizer is not the one that the model was trained with "
            f"(hash {tokenizer.hash[:12]}, the manifest says {str(manifest.get('tokenizer'))[:12]})"
        )
    return tokenizer, manifest


def find_model(path: Path) -> Path:
    """The model directory that a user's path means: itself, or best/ of a run's folder."""
    candidates = [path, path / "best"]
    for directory in candidates:
        if any((directory / name).exists() for name in (WEIGHTS, MODEL)):
            missing = [name for name in (WEIGHTS, MODEL, MANIFEST) if not (directory / name).is_file()]
            if missing:
                raise UserError(f"{directory}: not a complete model directory, it lacks {', '.join(missing)}")
            return directory
    found = "it has no finished model yet" if path.is_dir() else "there is no such folder"
    raise UserError(f"model={path}: {found} (looked for {WEIGHTS} in {' and '.join(map(str, candidates))})")


def vocabularies_of(tokenizer: Tokenizer) -> Vocabularies:
    return Vocabularies(tokenizer.source_vocab_size, tokenizer.target_vocab_size, tokenizer.shared)


@contextmanager
def replaced_directory(directory: Path) -> Iterator[Path]:
    """A new folder to fill, which then takes the place of `directory`; on an error the old one stays.

    A folder that cannot be written is a UserError. A process killed between the two renames leaves the old
    folder under another name: see restore_directory.
    """
    new, old = directory.with_name(directory.name + ".new"), directory.with_name(directory.name + ".old")
    restore_directory(directory)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        _flush_to_disk(new)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        before = "; the one before stays" if directory.exists() else ""
        raise UserError(f"{directory} cannot be written: {error.strerror}{before}") from None
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if directory.exists():
        directory.rename(old)
    new.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def restore_directory(directory: Path) -> None:
    """Undo a replacement that was killed half-way."""
    old = directory.with_name(directory.name + ".old")
    if old.exists() and not directory.exists():
        old.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def _flush_to_disk(directory: Path) -> None:
    for path in directory.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _plain(config: ModelConfig) -> dict[str, Any]:
    """The configuration as YAML's own types: members of StrEnum as their text."""
    return {key: str(value) if isinstance(value, str) else value for key, value in dataclasses.asdict(config).items()}


def read_config(path: Path) -> ModelConfig:
    """A model's configuration, checked field by field: the file may come from anybody. UserError says what is wrong."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a model configuration: {error}") from None
    name = values.get("architecture") if isinstance(values, dict) else None
    if name not in ARCHITECTURES:
        raise UserError(f"{path}: architecture {name!r} is none of {', '.join(ARCHITECTURES)}")
    kind = ARCHITECTURES[name][0]
    defaults = dataclasses.asdict(kind())
    try:
        return kind(**{key: type(defaults[key])(value) for key, value in values.items()})
    except KeyError as error:
        raise UserError(f"{path}: unknown key {error}; it was written by another version") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def _read_weights(path: Path, model: nn.Module) -> Weights:
    try:
        weights = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: the weights cannot be read: {error}") from None
    expected = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if expected != found:
        names = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        raise UserError(
            f"{path}: these weights do not fit the model that {MODEL} and the tokenizer describe: {names[0]} is "
            f"{found.get(names[0], 'missing')}, expected {expected.get(names[0], 'nothing')}"
        )
    return weights


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a manifest")
    return content
