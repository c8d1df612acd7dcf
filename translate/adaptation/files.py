"""Adapters in their directories: the added weights, what they were added to, and how.

weights.safetensors  adapter.yaml  manifest.json
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from translate.adaptation.methods import ADAPTATIONS, AdaptConfig, adapt, merge_lora
from translate.checkpoint import (
    LoadedModel,
    Weights,
    load_model,
    read_config,
    read_fields,
    read_weights,
    save_model,
    set_weights,
    weights_of,
    write_weights,
)
from translate.errors import UserError
from translate.files import read_json, sha256, write_json, write_text
from translate.folders import check_replaceable, replaced_directory
from translate.model_directory import ADAPTER, MANIFEST, MODEL, MODEL_FILES, WEIGHTS, find_adapter, find_model
from translate.models.seq2seq import ModelConfig

_OF_THE_RUN = {field.name for field in dataclasses.fields(AdaptConfig)} - {"method"}


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
    manifest = read_json(directory / MANIFEST)
    if manifest.get("base") != fingerprint(base.directory):
        raise UserError(
            f"adapter={path} was trained for another model than {base.directory}: for one whose weights have the "
            f"fingerprint {str(manifest.get('base'))[:12]}"
        )
    adapt(base.model, _read_settings(directory / ADAPTER))
    set_weights(base.model, read_weights(directory / WEIGHTS, base.model))
    merge_lora(base.model)
    device = next(base.model.parameters()).device
    return dataclasses.replace(base, model=base.model.to(device).eval(), manifest=manifest)


def save_merged(base: LoadedModel, path: str | Path, output: Path) -> None:
    """Write a model directory in which an adapter has become part of the model. Changes base.

    Raises UserError for what with_adapter refuses, for adapters that cannot be merged, and for an output folder that
    holds anything but an earlier merge.
    """
    check_merge_output(output, inputs=[base.directory, find_adapter(Path(path))])
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


def _read_settings(path: Path) -> AdaptConfig:
    kinds = {name: kind for name, (kind, add) in ADAPTATIONS.items() if add is not None}
    return read_fields(path, "method", kinds)
