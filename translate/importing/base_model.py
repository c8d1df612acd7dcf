"""The model that a run begins from: its configuration, its directions, and the model itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from translate.adaptation import AdaptConfig
from translate.checkpoint import LoadedModel, load_model, read_config, save_model, weights_of
from translate.data.languages import TrainedDirection, directions_of_manifest
from translate.errors import UserError
from translate.folders import check_replaceable
from translate.importing.huggingface import local_model
from translate.importing.languages import with_languages
from translate.model_directory import MANIFEST, MODEL, MODEL_FILES, WEIGHTS, find_model, read_manifest
from translate.models.seq2seq import ModelConfig


def base_model_config(adapt: AdaptConfig, model: ModelConfig) -> ModelConfig:
    """Configuration of the base model; without one, of the new model. Raises UserError for a missing or damaged one."""
    adapt.check()
    if adapt.begins_anew:
        return model
    base = read_config(find_model(local_model(adapt.model), option="adapt.model") / MODEL)
    return base if adapt.dropout is None else dataclasses.replace(base, dropout=adapt.dropout)


def base_directions(adapt: AdaptConfig) -> list[TrainedDirection]:
    """Directions of the model that is adapted, if it has several target languages."""
    return [] if adapt.begins_anew else directions_of_manifest(read_manifest(local_model(adapt.model)))


def load_base_model(config: AdaptConfig) -> LoadedModel | None:
    """The model that is adapted, on the CPU; None for a run that begins anew."""
    return None if config.begins_anew else load_model(local_model(config.model), device=torch.device("cpu"))


def convert_model(name: str, output: Path, *, languages: tuple[str, str]) -> None:
    """Write a published model as a model directory, for one direction if it has many languages.

    Raises UserError for a model that cannot be converted, and for an output folder that is not an earlier conversion.
    """
    check_replaceable(output, complete=[WEIGHTS, MODEL, MANIFEST], owned=MODEL_FILES)
    source = local_model(name)
    loaded = load_model(source, device=torch.device("cpu"))
    if not _is_conversion(loaded.manifest):
        raise UserError(f"model={name} is a model directory of this program: nothing to convert")
    if (output / MANIFEST).exists() and not _is_conversion(read_manifest(output)):
        raise UserError(f"output={output}: this folder holds a model that was trained here; name a new folder")
    config = with_languages(read_config(source / MODEL), loaded.manifest, languages)
    manifest = dict(loaded.manifest)
    for key, language in zip(("source_language", "target_language"), languages, strict=True):
        if language:
            manifest[key] = language
    save_model(output, weights=weights_of(loaded.model), config=config, tokenizer=loaded.tokenizer, manifest=manifest)


def _is_conversion(manifest: Mapping[str, Any]) -> bool:
    """True for a model as it was published; one that was trained further names its step as well."""
    return "imported" in manifest and "step" not in manifest


def for_direction(adapt: AdaptConfig, model: ModelConfig, languages: tuple[str, str]) -> ModelConfig:
    """The configuration of the run's model for its direction, where the base model has tokens of languages.

    Raises UserError for a language that the model lacks.
    """
    if adapt.begins_anew:
        return model
    return with_languages(model, read_manifest(local_model(adapt.model)), languages)
