"""Trained models brought to another domain: by training all of their weights on, or a few new ones beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from translate.adaptation.config import AdaptConfig, AdapterConfig, LoraConfig, PrefixConfig
from translate.adaptation.modules import add_adapters, add_lora, add_prefixes
from translate.models.seq2seq import Seq2Seq

# name -> (configuration, what it adds to a model; None: nothing, all weights are trained)
ADAPTATIONS: dict[str, tuple[type[AdaptConfig], Callable[[Any, Seq2Seq], None] | None]] = {
    "none": (AdaptConfig, None),
    "full": (AdaptConfig, None),
    "lora": (LoraConfig, add_lora),
    "adapter": (AdapterConfig, add_adapters),
    "prefix": (PrefixConfig, add_prefixes),
}


def adapt(model: Seq2Seq, config: AdaptConfig) -> None:
    """Make a trained model ready for the method: where that adds weights, only those will be trained.

    Raises UserError where the model has no place for them.
    """
    add = ADAPTATIONS[config.method][1]
    if add is not None:
        model.requires_grad_(False)
        add(config, model)
