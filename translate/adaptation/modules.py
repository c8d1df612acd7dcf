"""What adaptation adds to a model: it begins by changing nothing, or nearly nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.adaptation.config import AdapterConfig, LoraConfig, PrefixConfig
from translate.errors import UserError
from translate.models.attention import MultiHeadAttention, Prefix
from translate.models.seq2seq import Seq2Seq


class Lora(nn.Module):
    """A linear map with a change of low rank."""

    def __init__(self, linear: nn.Linear, config: LoraConfig):
        super().__init__()
        self.linear, self.scale = linear, config.alpha / config.rank
        self.down = nn.Linear(linear.in_features, config.rank, bias=False)
        self.up = _silent(nn.Linear(config.rank, linear.out_features, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.up(self.down(x) * self.scale)
        return self.linear(x) + change


class Adapter(nn.Module):
    """A linear map with a bottleneck behind it."""

    def __init__(self, linear: nn.Linear, config: AdapterConfig):
        super().__init__()
        self.linear = linear
        self.down = nn.Linear(linear.out_features, config.width)
        self.up = _silent(nn.Linear(config.width, linear.out_features))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear(x)
        return result + self.up(F.relu(self.down(result)))


def add_lora(config: LoraConfig, model: Seq2Seq) -> None:
    """To every linear map but the output layer, which is the embeddings' as a rule."""
    _wrap(model, lambda name: True, lambda linear: Lora(linear, config))


@torch.no_grad()
def merge_lora(model: Seq2Seq) -> None:
    """Fold the changes into the maps that they stand beside: the model then costs what it did before."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Lora):
                child.linear.weight += child.scale * child.up.weight @ child.down.weight
                setattr(parent, name, child.linear)


def add_adapters(config: AdapterConfig, model: Seq2Seq) -> None:
    """To the last linear map of every sublayer."""
    _wrap(model, model.sublayer_ends.__contains__, lambda linear: Adapter(linear, config))


def add_prefixes(config: PrefixConfig, model: Seq2Seq) -> None:
    """To every multi-head attention. Raises UserError for a model without."""
    attentions = [module for module in model.modules() if isinstance(module, MultiHeadAttention)]
    if not attentions:
        raise UserError("adapt=prefix adds to the attention of Transformers, and this model is none; try adapt=lora")
    for attention in attentions:
        attention.prefix = Prefix(
            d_model=attention.output.in_features, num_heads=attention.num_heads, length=config.length
        )


def _wrap(model: Seq2Seq, wanted: Callable[[str], bool], wrapped: Callable[[nn.Linear], nn.Module]) -> None:
    """Replace the linear maps of the names that are wanted."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child is not model.projection and wanted(name):
                setattr(parent, name, wrapped(child))


def _silent(linear: nn.Linear) -> nn.Linear:
    """Whose result is zero, whatever it reads."""
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    return linear
