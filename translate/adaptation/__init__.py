"""Adaptation of trained models to another domain.

`adapt` (methods.py) prepares a model: all its weights are trained (`adapt=full`), or a few new ones that are inserted
into it (LoRA, adapters, prefixes). The new ones are saved alone, in a directory that names the model they belong to;
loading inserts them again, and those of LoRA can be merged into the model (files.py).
"""

from translate.adaptation.methods import (
    ADAPTATIONS,
    AdaptConfig,
    AdapterConfig,
    LoraConfig,
    PrefixConfig,
    adapt,
    merge_lora,
)

__all__ = ["ADAPTATIONS", "AdaptConfig", "AdapterConfig", "LoraConfig", "PrefixConfig", "adapt", "merge_lora"]
