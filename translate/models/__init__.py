"""The seq2seq contract and the architectures that keep it."""

from __future__ import annotations

from typing import Any

from translate.errors import UserError
from translate.models.config import ModelConfig
from translate.models.convolutional import Convolutional, ConvolutionalConfig
from translate.models.recurrent import Recurrent, RecurrentConfig
from translate.models.seq2seq import Seq2Seq
from translate.models.transformer import Transformer, TransformerConfig
from translate.models.vocabulary import Vocabularies

# name -> (configuration, implementation)
ARCHITECTURES: dict[str, tuple[type[ModelConfig], type[Any]]] = {
    "transformer": (TransformerConfig, Transformer),
    "lstm": (RecurrentConfig, Recurrent),
    "convolutional": (ConvolutionalConfig, Convolutional),
}


def build_model(config: ModelConfig, vocabularies: Vocabularies) -> Seq2Seq:
    """A freshly initialised model; UserError for an unknown architecture or sizes that do not fit together."""
    if config.architecture not in ARCHITECTURES:
        raise UserError(f"model.architecture={config.architecture} is none of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[config.architecture][1](config, vocabularies)
