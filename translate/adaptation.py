"""Adaptation of trained models to another domain: LoRA, adapters, prefixes, or training all weights further.

`adapt` prepares a model: all its weights are trained (`adapt=full`), or a few new ones that are inserted into it. The
new ones are saved alone, in a directory that names the model they belong to (checkpoint.py); loading inserts them
again, and those of LoRA can be merged into the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.errors import UserError, require_between
from translate.models.attention import MultiHeadAttention
from translate.models.seq2seq import MOST_DROPOUT, MOST_OF_A_SIZE, Seq2Seq


@dataclass(kw_only=True)
class AdaptConfig:
    """The model that training begins from, and the part of it that is trained.

    method   none: no other model; full: all of its weights; otherwise the weights that are added to it
    model    a run's folder or a model directory; its tokenizer, sizes and settings become this run's
    dropout  another than the model was trained with
    """

    COUNTS: ClassVar[tuple[str, ...]] = ()  # at least 1

    method: str = "none"
    model: str = ""
    dropout: float | None = None

    @property
    def begins_anew(self) -> bool:
        return self.method == "none"

    @property
    def adds_weights(self) -> bool:
        """True if the result is a small file of new weights, to be used with the model."""
        return self.method not in ("none", "full")

    def check(self) -> None:
        """Raise UserError for values out of range, and for a method without a model or the reverse."""
        if self.begins_anew == bool(self.model):
            wanted = "adapt=full, lora, adapter or prefix" if self.begins_anew else "adapt.model=PATH"
            raise UserError(f"adapt={self.method} adapt.model={self.model}: one needs the other; set {wanted}")
        for name in self.COUNTS:
            require_between(f"adapt.{name}", getattr(self, name), 1, MOST_OF_A_SIZE)
        if self.dropout is not None:
            require_between("adapt.dropout", self.dropout, 0.0, MOST_DROPOUT)


@dataclass(kw_only=True)
class LoraConfig(AdaptConfig):
    """Sum of every linear layer W and alpha / rank · B A, with A (rank, in) and B (out, rank) (Hu et al. 2022)."""

    COUNTS: ClassVar = ("rank",)

    method: str = "lora"
    rank: int = 8
    alpha: float = 16.0


@dataclass(kw_only=True)
class AdapterConfig(AdaptConfig):
    """Bottlenecks of this width behind every sublayer (Houlsby et al. 2019)."""

    COUNTS: ClassVar = ("width",)

    method: str = "adapter"
    width: int = 32


@dataclass(kw_only=True)
class PrefixConfig(AdaptConfig):
    """Keys and values, `length` more in every attention, that all queries see (Li and Liang 2021).

    They are learned directly, not through a network as in the paper; a learned bias nearly masks them at first.
    """

    COUNTS: ClassVar = ("length",)

    method: str = "prefix"
    length: int = 16


class Lora(nn.Module):
    """A linear layer and a change of low rank, zero at first."""

    def __init__(self, linear: nn.Linear, config: LoraConfig):
        super().__init__()
        self.linear, self.scale = linear, config.alpha / config.rank
        self.down = nn.Linear(linear.in_features, config.rank, bias=False)
        self.up = _zero_initialised(nn.Linear(config.rank, linear.out_features, bias=False))  # no change at first

    def forward(self, x: Tensor) -> Tensor:
        # scaled where it has only `rank` elements
        change: Tensor = self.up(self.down(x) * self.scale)
        return self.linear(x) + change


class Adapter(nn.Module):
    """A linear layer and a bottleneck behind it, whose output is zero at first."""

    def __init__(self, linear: nn.Linear, config: AdapterConfig):
        super().__init__()
        self.linear = linear
        self.down = nn.Linear(linear.out_features, config.width)
        self.up = _zero_initialised(nn.Linear(config.width, linear.out_features))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(x)
        return result + self.up(F.relu(self.down(result)))


class Prefix(nn.Module):
    """Keys and values that every query sees before those of its sentence.

    Letters: B sentences, T queries, S keys, P keys of the prefix, H heads, W width of a head.
    """

    def __init__(self, attention: MultiHeadAttention, config: PrefixConfig):
        super().__init__()
        heads, length = attention.num_heads, config.length
        width = attention.output.in_features // heads
        self.key = nn.Parameter(torch.randn(heads, length, width) / math.sqrt(width))
        self.value = nn.Parameter(torch.zeros(heads, length, width))
        # together they begin with the weight of a single key with a score of zero
        self.bias = nn.Parameter(torch.full((heads, 1, 1), -math.log(length)))

    def forward(self, key: Tensor, value: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values (B, H, S, W) with P more, and their bias (B, 1, 1 or T, S) as (B, H, 1 or T, P + S)."""
        sentences, heads, queries = len(key), len(self.bias), bias.shape[2]
        # the prefix is visible to all queries, also where the mask is causal
        own = self.bias.expand(sentences, heads, queries, self.key.shape[1]).to(bias.dtype)
        return (
            torch.cat([self.key.to(key.dtype).expand(sentences, -1, -1, -1), key], dim=2),
            torch.cat([self.value.to(value.dtype).expand(sentences, -1, -1, -1), value], dim=2),
            torch.cat([own, bias.expand(-1, heads, -1, -1)], dim=3),
        )


def add_lora(config: LoraConfig, model: Seq2Seq) -> None:
    """Add to every linear layer but the output layer, whose weight is as a rule the embeddings'."""
    if not _wrap_linears(model, lambda name: True, lambda linear: Lora(linear, config)):
        raise UserError("adapt=lora changes linear layers, and this model has none but its output; try adapt=full")


def add_adapters(config: AdapterConfig, model: Seq2Seq) -> None:
    """Add behind the last linear layer of every sublayer."""
    if not _wrap_linears(model, model.adapter_targets.__contains__, lambda linear: Adapter(linear, config)):
        raise UserError(
            f"adapt=adapter adds bottlenecks behind the linear layers in {type(model).__name__}.adapter_targets, and "
            "this model has none; try adapt=lora or adapt=full"
        )


def add_prefixes(config: PrefixConfig, model: Seq2Seq) -> None:
    """Add to every multi-head attention."""
    attentions = [module for module in model.modules() if isinstance(module, MultiHeadAttention)]
    if not attentions:
        raise UserError("adapt=prefix adds to the attention of Transformers, and this model is not one; try adapt=lora")
    for attention in attentions:
        attention.prefix = Prefix(attention, config)


@torch.no_grad()
def merge_lora(model: Seq2Seq) -> None:
    """Fold the changes into their linear layers: the model then costs as much as before."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Lora):
                # W + alpha / rank · B A, (out, in)
                child.linear.weight += child.scale * child.up.weight @ child.down.weight
                setattr(parent, name, child.linear)


def _wrap_linears(model: Seq2Seq, is_wanted: Callable[[str], bool], wrap: Callable[[nn.Linear], nn.Module]) -> int:
    """Replace the linear layers of the wanted names; returns their number."""
    number = 0
    for parent in list(model.modules()):
        # lists: the tree of modules changes under the loop
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child is not model.projection and is_wanted(name):
                setattr(parent, name, wrap(child))
                number += 1
    return number


def _zero_initialised(linear: nn.Linear) -> nn.Linear:
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    return linear


# name -> (configuration, function that adds the weights to a model; None: nothing is added, all weights are trained)
ADAPTATIONS: dict[str, tuple[type[AdaptConfig], Callable[[Any, Seq2Seq], None] | None]] = {
    "none": (AdaptConfig, None),
    "full": (AdaptConfig, None),
    "lora": (LoraConfig, add_lora),
    "adapter": (AdapterConfig, add_adapters),
    "prefix": (PrefixConfig, add_prefixes),
}


def adapt(model: Seq2Seq, config: AdaptConfig) -> None:
    """Prepare a trained model for the method: where weights are added, only those will be trained.

    Raises UserError for a model that the method cannot be applied to.
    """
    add = ADAPTATIONS[config.method][1]
    if add is not None:
        # before the new weights exist: they alone stay trainable
        model.requires_grad_(False)
        add(config, model)


__all__ = ["ADAPTATIONS", "AdaptConfig", "AdapterConfig", "LoraConfig", "PrefixConfig", "adapt", "merge_lora"]
