"""The model that a run begins from: its configuration, its directions, and the model itself."""

from __future__ import annotations

import dataclasses

import torch

from translate.adaptation import AdaptConfig
from translate.checkpoint import LoadedModel, load_model, read_config
from translate.data.languages import TrainedDirection, directions_of_manifest
from translate.importing.huggingface import local_model
from translate.importing.languages import with_languages
from translate.model_directory import MODEL, find_model, read_manifest
from translate.models.seq2seq import ModelConfig


def base_model_config(adapt: AdaptConfig, model: ModelConfig) -> ModelConfig:
    """Configuration of the base model; without one, of the new model. Raises UserError for a missing or damaged one."""
    adapt.check()
    if adapt.begins_anew:
        return model
    # the architecture is that of the base model, whatever model= says
    base = read_config(find_model(local_model(adapt.model), option="adapt.model") / MODEL)
    return base if adapt.dropout is None else dataclasses.replace(base, dropout=adapt.dropout)


def base_directions(adapt: AdaptConfig) -> list[TrainedDirection]:
    """Directions of the model that is adapted, if it has several target languages."""
    return [] if adapt.begins_anew else directions_of_manifest(read_manifest(local_model(adapt.model)))


def load_base_model(config: AdaptConfig) -> LoadedModel | None:
    """The model that is adapted, on the CPU; None for a run that begins anew."""
    return None if config.begins_anew else load_model(local_model(config.model), device=torch.device("cpu"))


def for_direction(adapt: AdaptConfig, model: ModelConfig, languages: tuple[str, str]) -> ModelConfig:
    """The configuration of the run's model for its direction, where the base model has tokens of languages.

    Raises UserError for a language that the model lacks.
    """
    if adapt.begins_anew:
        return model
    return with_languages(model, read_manifest(local_model(adapt.model)), languages)
