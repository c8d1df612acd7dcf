"""Models and adapters to and from their directories.

model    weights.safetensors  model.yaml    tokenizer.model  manifest.json
adapter  weights.safetensors  adapter.yaml                   manifest.json, which names its model
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

import safetensors.torch
import torch
import yaml
from safetensors import SafetensorError
from torch import Tensor, nn

from translate.adaptation import ADAPTATIONS, AdaptConfig, adapt, merge_lora
from translate.errors import UserError
from translate.files import read_json, sha256, to_plain, write_json, write_text
from translate.folders import check_replaceable, replaced_directory
from translate.model_directory import (
    ADAPTER,
    MANIFEST,
    MODEL,
    MODEL_FILES,
    WEIGHTS,
    find_adapter,
    find_model,
    read_origin,
    verify_model,
)
from translate.models import ARCHITECTURES, build_model
from translate.models.seq2seq import ModelConfig, Seq2Seq, Vocabularies
from translate.tokenizer import Tokenizer

Weights = dict[str, Tensor]
Settings = TypeVar("Settings")
_TYPES = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
# parts of parameter names in files written by earlier versions -> today's
_RENAMED = {
    ".around_attention.norm.": ".attention_norm.",
    ".around_self_attention.norm.": ".attention_norm.",
    ".around_cross_attention.norm.": ".cross_norm.",
    ".around_feed_forward.norm.": ".ffn_norm.",
}


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in evaluation mode on its device, its tokenizer, and what its manifest says."""

    model: Seq2Seq
    tokenizer: Tokenizer
    manifest: dict[str, Any]
    directory: Path


def weights_of(model: nn.Module) -> Weights:
    """The parameters that are trained, by name, each shared one once; detached, not copied."""
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}


def copy_of(state: Any) -> Any:
    """Tensors, or weights or other dictionaries and lists of them, as they are now, on the CPU."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: copy_of(value) for key, value in state.items()}
    return [copy_of(value) for value in state] if isinstance(state, list) else state


def set_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights, as weights_of names them, into a model."""
    for name, parameter in weights_of(model).items():
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
    with replaced_directory(directory, owned=MODEL_FILES) as new:
        write_weights(weights, new / WEIGHTS)
        write_text(new / MODEL, yaml.safe_dump(to_plain(config), sort_keys=False))
        tokenizer.save(new)
        write_json(new / MANIFEST, {**manifest, "tokenizer": tokenizer.hash})


def write_weights(weights: Weights, path: Path) -> None:
    # not save_file: its errors do not say which, a full disk among them; contiguous: it refuses other views
    path.write_bytes(safetensors.torch.save({name: x.contiguous().cpu() for name, x in weights.items()}))


def load_model(path: str | Path, *, device: torch.device) -> LoadedModel:
    """The model in a model directory, or in best/ of a run's folder.

    Raises UserError when a file is missing or damaged, or the files do not belong together.
    """
    directory = find_model(Path(path))
    verify_model(directory)
    tokenizer, manifest = read_origin(directory)
    model = build_model(read_config(directory / MODEL), vocabularies_of(tokenizer))
    set_weights(model, read_weights(directory / WEIGHTS, model))
    return LoadedModel(model.to(device).eval(), tokenizer, manifest, directory)


def vocabularies_of(tokenizer: Tokenizer) -> Vocabularies:
    return Vocabularies(tokenizer.source_vocab_size, tokenizer.target_vocab_size, tokenizer.shared)


def read_config(path: Path) -> ModelConfig:
    """A model's configuration; UserError says what is wrong."""
    return read_fields(path, "architecture", {name: kind for name, (kind, _) in ARCHITECTURES.items()})


def read_fields(path: Path, choice: str, kinds: Mapping[str, type[Settings]]) -> Settings:
    """Read a file of YAML into the dataclass that its key `choice` names.

    The file may come from anybody: raises UserError for a key that is no field, and for a value of another type than
    the field's, which is never converted (except an integer for a float, and the text of a choice).
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a configuration: {error}") from None
    name = values.get(choice) if isinstance(values, dict) else None
    if not isinstance(name, str) or name not in kinds:
        raise UserError(f"{path}: {choice} {name!r} is none of {', '.join(kinds)}")
    kind = kinds[name]
    # the types of the fields, by their defaults; annotations are text
    defaults = {field.name: getattr(kind(), field.name) for field in dataclasses.fields(cast(Any, kind))}
    for key in values:
        if key not in defaults:
            raise UserError(f"{path}: unknown key {key!r}; it was written by another version")
    return kind(**{key: _read_value(value, defaults[key], f"{path}: {key}") for key, value in values.items()})


def _read_value(value: Any, default: Any, where: str) -> Any:
    """A value of the type of the field's default; UserError for any other."""
    if isinstance(default, StrEnum):
        choices = type(default)
        if value not in list(choices):
            raise UserError(f"{where} ({value!r}) must be one of {', '.join(choices)}")
        return choices(value)
    kind = type(default)
    # YAML reads 1 as an integer where 1.0 is meant
    if kind is float and type(value) is int:
        return float(value)
    # not isinstance: true is an int in Python
    if type(value) is not kind:
        raise UserError(f"{where} ({value!r}) must be {_TYPES[kind]}")
    return value


def load_weights(path: Path) -> Weights:
    """Weights from a file, under the names that parameters have today."""
    return {_current_name(name): weight for name, weight in safetensors.torch.load_file(path).items()}


def _current_name(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


def read_weights(path: Path, model: nn.Module) -> Weights:
    """Weights from a file, checked against those of a model; raises UserError where they differ in name or shape."""
    try:
        weights = load_weights(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: the weights cannot be read: {error}") from None
    expected = {name: tuple(weight.shape) for name, weight in weights_of(model).items()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if expected != found:
        names = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        raise UserError(
            f"{path}: these weights do not fit the model that {MODEL} and the tokenizer describe: {names[0]} is "
            f"{found.get(names[0], 'missing')}, expected {expected.get(names[0], 'nothing')}"
        )
    return weights


_OF_THE_RUN = {field.name for field in dataclasses.fields(AdaptConfig)} - {"method"}  # where the base model is


def base_model_config(adapt: AdaptConfig, model: ModelConfig) -> ModelConfig:
    """Configuration of the base model; without one, of the new model. Raises UserError for a missing or damaged one."""
    adapt.check()
    if adapt.begins_anew:
        return model
    base = read_config(find_model(Path(adapt.model)) / MODEL)
    return base if adapt.dropout is None else dataclasses.replace(base, dropout=adapt.dropout)


def load_base_model(config: AdaptConfig) -> LoadedModel | None:
    """The model that is adapted, on the CPU; None for a run that begins anew."""
    return None if config.begins_anew else load_model(config.model, device=torch.device("cpu"))


def save_adapter(directory: Path, *, weights: Weights, config: AdaptConfig, manifest: Mapping[str, Any]) -> None:
    """Write an adapter's directory; manifest["base"] is the fingerprint of the model that it belongs to."""
    settings = {key: value for key, value in dataclasses.asdict(config).items() if key not in _OF_THE_RUN}
    with replaced_directory(directory, owned=MODEL_FILES) as new:
        write_weights(weights, new / WEIGHTS)
        write_text(new / ADAPTER, yaml.safe_dump(settings, sort_keys=False))
        write_json(new / MANIFEST, dict(manifest))


def with_adapter(base: LoadedModel, path: str | Path) -> LoadedModel:
    """A loaded model, changed by the adapter in a directory or in best/ of a run's folder; LoRA's is merged into it.

    Raises UserError when a file is missing or damaged, or the adapter belongs to another model.
    """
    directory = find_adapter(Path(path))
    verify_model(directory)
    manifest = read_json(directory / MANIFEST)
    if manifest.get("base") != fingerprint(base.directory):
        raise UserError(
            f"adapter={path} was trained for another model than {base.directory}: for one whose weights have the "
            f"fingerprint {str(manifest.get('base'))[:12]}"
        )
    kinds = {name: kind for name, (kind, add) in ADAPTATIONS.items() if add is not None}
    adapt(base.model, read_fields(directory / ADAPTER, "method", kinds))
    # only the added weights are trainable now, and the file must hold exactly these
    set_weights(base.model, read_weights(directory / WEIGHTS, base.model))
    merge_lora(base.model)
    # the base model's first parameter tells the device; added weights are made on the CPU
    device = next(base.model.parameters()).device
    return dataclasses.replace(base, model=base.model.to(device).eval(), manifest=manifest)


def save_merged(base: LoadedModel, path: str | Path, output: Path) -> None:
    """Write a model directory in which an adapter has become part of the model. Changes base.

    Raises UserError for what with_adapter refuses, for adapters that cannot be merged, and for an output folder that
    holds anything but an earlier merge.
    """
    check_merge_output(output, inputs=[base.directory, find_adapter(Path(path))])
    # a merged LoRA leaves no parameter of its own
    before = {name for name, _ in base.model.named_parameters()}
    merged = with_adapter(base, path)
    if before != {name for name, _ in merged.model.named_parameters()}:
        raise UserError(f"adapter={path} works beside the model's own weights: only what adapt=lora made can be merged")
    merged.model.requires_grad_(True)  # which is what tells the weights of a model
    save_model(
        output,
        weights=weights_of(merged.model),
        config=read_config(base.directory / MODEL),
        tokenizer=base.tokenizer,
        manifest={**merged.manifest, "merged": fingerprint(find_adapter(Path(path)))},
    )


def check_merge_output(output: Path, *, inputs: Sequence[Path]) -> None:
    """Raise UserError unless `output` is new, empty, or an earlier merge that is not one of the inputs."""
    for directory in inputs:
        if output.exists() and output.samefile(directory):
            raise UserError(f"output={output}: that is an input of the merge; name a new folder")
    check_replaceable(output, complete=[WEIGHTS, MODEL, MANIFEST], owned=MODEL_FILES)
    if (output / MANIFEST).exists() and "merged" not in read_json(output / MANIFEST):
        raise UserError(
            f"output={output}: this folder is not replaced, because it holds another model; name a new folder"
        )


def fingerprint(directory: Path) -> str:
    """SHA-256 of a model's weights, which its adapters remember."""
    return sha256(directory / WEIGHTS)
