"""Products of linear layers in 8-bit floats, by torchao: an option of training on GPUs that have matrix units for them.

The three products of such a layer (its output, and the gradients of its input and weight) round their factors to 8
bits: inputs and weights to e4m3, gradients to e5m2, each tensor scaled by its largest element (Micikevicius et al.
2022, "FP8 Formats for Deep Learning"). Results are in bf16; weights stay in fp32, with their sums. This is torchao's
recipe `tensorwise`; by its measurements `rowwise` gains only where inputs are above 1,024 wide and outputs above 2,048.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import nn

from translate.device import Capabilities, Precision
from translate.errors import UserError, import_extra
from translate.models import Vocabularies, build_model
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer_training import MAX_VOCAB_SIZE

if TYPE_CHECKING:
    from translate.training.config import TrainConfig

_OPTION = "compute.fp8=true"
_LEAVE = "leave compute.fp8 out"
_FIRST = (8, 9)  # compute capability of Ada: the first with matrix units for fp8
_MULTIPLE = 16  # of the widths that these units take
# torchao's rule for H100s: casting the factors of a narrower output takes longer than its product gains
_NARROW_OUTPUT, _WIDE_INPUT = 1024, 4096
_JOINED = "key_value"  # one product for all decoder layers (models/layers.joined_linear)


def check_fp8_device(can: Capabilities, precision: Precision) -> None:
    """Raise UserError where a device, a precision of training or a missing package excludes fp8."""
    if can.compute_capability is None or can.compute_capability < _FIRST:
        here = str(can) or ("this GPU" if can.on_gpu else "a CPU")
        raise UserError(f"{_OPTION} needs an NVIDIA GPU of compute capability 8.9 or above, not {here}: {_LEAVE}")
    if precision is not Precision.bf16:
        raise UserError(f"{_OPTION} needs compute.precision=bf16, not {precision}: {_LEAVE}, or set that")
    torchao()


def check_fp8_layers(config: TrainConfig) -> None:
    """Raise UserError where no layer of a configured model gains by fp8."""
    if config.adapt.adds_weights:
        raise UserError(f"{_OPTION} is for training all weights, not for adapt={config.adapt.method}: {_LEAVE}")
    with torch.device("meta"):  # shapes alone; the vocabulary, yet unknown, has no part in those that count
        fp8_places(build_model(config.model, Vocabularies(MAX_VOCAB_SIZE, MAX_VOCAB_SIZE, shared=True)))


def torchao() -> ModuleType:
    """torchao.float8. Raises UserError where it is missing."""
    # it warns of kernels of its own that it cannot load; float8 training uses PyTorch's
    logging.getLogger("torchao").setLevel(logging.ERROR)
    return import_extra("torchao.float8", extra="fp8", purpose=_OPTION)


@dataclass(frozen=True, eq=False)
class _Place:
    """A linear layer as a child of some module."""

    parent: nn.Module
    name: str
    layer: nn.Linear


def fp8_places(model: Seq2Seq) -> list[_Place]:
    """The linear layers that gain by fp8. Raises UserError where there are none."""
    places = [
        _Place(parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        # the output layer alone sees the rare words, and its product is the loss's
        if type(child) is nn.Linear and child is not model.projection and name != _JOINED and _gains(child)
    ]
    if not places:
        raise UserError(
            f"{_OPTION}: no linear layer of this model is wide enough to gain by it (an output above "
            f"{_NARROW_OUTPUT:,} or an input above {_WIDE_INPUT:,}, both multiples of {_MULTIPLE}): "
            f"{_LEAVE}, or choose a wider model"
        )
    return places


def _gains(layer: nn.Linear) -> bool:
    inputs, outputs = layer.in_features, layer.out_features
    is_narrow = outputs <= _NARROW_OUTPUT and inputs <= _WIDE_INPUT
    return not (inputs % _MULTIPLE or outputs % _MULTIPLE or is_narrow)


class Fp8Layers:
    """torchao's versions of a model's linear layers, which take their places inside a context.

    They share the weights. Outside of the context the model is plain: it is saved, validated and exported without
    torchao.

    emulated  compute on any device, by fp32 products of rounded factors: for tests
    """

    def __init__(self, model: Seq2Seq, *, emulated: bool):
        float8 = torchao()
        # the gradient of a weight sums over tokens, whose number is no multiple of 16: zeros are added
        config = replace(float8.Float8LinearConfig.from_recipe_name("tensorwise"), pad_inner_dim=True, emulate=emulated)
        self._layers = [
            (place, float8.convert_to_float8_training(place.layer, config=config)) for place in fp8_places(model)
        ]
        weights = [module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear)]
        chosen = [place.layer.weight.numel() for place, _ in self._layers]
        share = sum(chosen) / sum(weights)
        self.summary = f"{len(chosen)} of {len(weights)} linear layers, {share:.0%} of their weights"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Context in which the layers compute in fp8; the backward pass may come after it."""
        try:
            for place, layer in self._layers:
                # not by setattr, which takes as long as a launch
                place.parent._modules[place.name] = layer
            yield
        finally:
            for place, _ in self._layers:
                place.parent._modules[place.name] = place.layer
