"""Models and adapters to and from their directories.

model    weights.safetensors  model.yaml    tokenizer.model  truecase.json  manifest.json
adapter  weights.safetensors  adapter.yaml                                  manifest.json, which names its model
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
import yaml
from safetensors import SafetensorError
from torch import Tensor, nn

from translate.adaptation import ADAPTATIONS, AdaptConfig, adapt, merge_lora
from translate.errors import UserError, errors_naming, excerpt
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
    load_manifest,
    read_origin,
    read_truecaser,
    verify_model,
)
from translate.models import ARCHITECTURES, build_model
from translate.models.seq2seq import ModelConfig, Seq2Seq, Vocabularies
from translate.parsing import from_plain, read_yaml
from translate.tensor_files import Shapes, read_shapes, require_shapes, require_sizes, shapes_of
from translate.tokenizer import Tokenizer
from translate.truecasing import TRUECASE, Truecaser

_SPARE_BYTES = 1 << 20  # for safetensors' header and small objects
Weights = dict[str, Tensor]
Settings = TypeVar("Settings")
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
    truecaser: Truecaser | None = None,
) -> None:
    """Write a model directory; one that was there before is replaced only by a complete one."""
    with replaced_directory(directory, owned=MODEL_FILES) as new:
        write_weights(weights, new / WEIGHTS)
        write_text(new / MODEL, yaml.safe_dump(to_plain(config), sort_keys=False))
        tokenizer.save(new)
        if truecaser is not None:
            truecaser.save(new / TRUECASE)
        write_json(new / MANIFEST, {**manifest, "tokenizer": tokenizer.hash})


def write_weights(weights: Weights, path: Path) -> None:
    # contiguous: safetensors refuses other views
    tensors = {name: x.contiguous().cpu() for name, x in weights.items()}
    # Ask for the memory of its two copies first, which PyTorch refuses by an error: safetensors aborts the process, or
    # waits for ever for a lock of its own while it prints a backtrace.
    torch.empty(2 * sum(x.nbytes for x in tensors.values()) + _SPARE_BYTES, dtype=torch.uint8)
    # not save_file: its errors do not say which, a full disk among them
    path.write_bytes(safetensors.torch.save(tensors))


def load_model(path: str | Path, *, device: torch.device) -> LoadedModel:
    """The model in a model directory, or in best/ of a run's folder.

    Raises UserError when a file is missing or damaged, or the files do not belong together.
    """
    directory = find_model(Path(path))
    verify_model(directory)
    tokenizer, manifest = read_origin(directory)
    config, shapes = read_config(directory / MODEL), _stored_shapes(directory / WEIGHTS)
    # all of this before a weight is allocated; a table of positions is no weight, and bounded by config.check()
    names = [name for name in (*config.SIZES, *config.COUNTS) if name != "max_length"]
    require_sizes(config, names, shapes, directory / MODEL)
    build = partial(build_model, config, vocabularies_of(tokenizer))
    with errors_naming(directory / MODEL):
        expected = shapes_of(build)
    require_shapes(shapes, expected, directory / WEIGHTS)
    model = build()
    set_weights(model, load_weights(directory / WEIGHTS))
    return LoadedModel(model.to(device).eval(), tokenizer, manifest, directory)


def vocabularies_of(tokenizer: Tokenizer) -> Vocabularies:
    return Vocabularies(tokenizer.source_vocab_size, tokenizer.target_vocab_size, tokenizer.shared)


def read_config(path: Path) -> ModelConfig:
    """A model's configuration; UserError says what is wrong."""
    config = read_fields(path, "architecture", {name: kind for name, (kind, _) in ARCHITECTURES.items()})
    with errors_naming(path):
        config.check()
    return config


def read_fields(path: Path, choice: str, kinds: Mapping[str, type[Settings]]) -> Settings:
    """Read a file of YAML into the dataclass that its key `choice` names. Raises UserError for anything else."""
    values = read_yaml(path)
    name = values.get(choice) if isinstance(values, dict) else None
    if not isinstance(name, str) or name not in kinds:
        raise UserError(f"{path}: {choice} {excerpt(repr(name))} is none of {', '.join(kinds)}")
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{path}: {excerpt(key)} ({value}) must be a finite number")
    return from_plain(kinds[name], values, path)


def load_weights(path: Path) -> Weights:
    """Weights from a file, under the names that parameters have today. Raises UserError for a damaged file."""
    try:
        return {_current_name(name): weight for name, weight in safetensors.torch.load_file(path).items()}
    except SafetensorError as error:  # not OSError: the file may be good
        raise UserError(f"{path}: the weights cannot be read: {excerpt(error)}") from None


def _stored_shapes(path: Path) -> Shapes:
    return {_current_name(name): shape for name, shape in read_shapes(path).items()}


def _current_name(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


def read_weights(path: Path, model: nn.Module) -> Weights:
    """Weights from a file, checked against those of a model; raises UserError where they differ in name or shape."""
    require_shapes(
        _stored_shapes(path), {name: tuple(weight.shape) for name, weight in weights_of(model).items()}, path
    )
    return load_weights(path)


_OF_THE_RUN = {field.name for field in dataclasses.fields(AdaptConfig)} - {"method"}  # where the base model is


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
    manifest = load_manifest(directory / MANIFEST)
    if manifest.get("base") != fingerprint(base.directory):
        raise UserError(
            f"adapter={path} was trained for another model than {base.directory}: for one whose weights have the "
            f"fingerprint {manifest.get('base')!s:.12}"
        )
    kinds = {name: kind for name, (kind, add) in ADAPTATIONS.items() if add is not None}
    config, shapes = read_fields(directory / ADAPTER, "method", kinds), _stored_shapes(directory / WEIGHTS)
    require_sizes(config, config.COUNTS, shapes, directory / ADAPTER)

    def build() -> Seq2Seq:
        model = build_model(read_config(base.directory / MODEL), vocabularies_of(base.tokenizer))
        adapt(model, config)
        return model

    require_shapes(shapes, shapes_of(build), directory / WEIGHTS)
    adapt(base.model, config)
    # only the added weights are trainable now, and the file must hold exactly these
    set_weights(base.model, load_weights(directory / WEIGHTS))
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
        truecaser=read_truecaser(base.directory),
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
