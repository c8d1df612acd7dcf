"""fp8 matmuls of wide linear layers, by torchao: an option of training on GPUs with fp8 Tensor Cores.

The three matmuls of such a layer (its output, and the gradients of its input and weight) round their operands to 8
bits: inputs and weights to e4m3, gradients to e5m2, each tensor scaled by its largest element (Micikevicius et al.
2022, "FP8 Formats for Deep Learning"). Results are in bf16; master weights and accumulation stay in fp32. This is
torchao's recipe `tensorwise`; its heuristics exclude all widths of our models from `rowwise`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import nn

from translate.device import Capabilities, Precision
from translate.errors import UserError, import_extra
from translate.models import Vocabularies, build_model
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer_training import MAX_VOCAB_SIZE
from translate.training.open_options import SIZE

if TYPE_CHECKING:
    from translate.training.config import TrainConfig

_OPTION = "compute.fp8=true"
_LEAVE = "leave compute.fp8 out"
_MIN_CAPABILITY = (8, 9)  # of Ada, the first generation with fp8 Tensor Cores
_ALIGNMENT = 16  # of the widths that they take
# torchao's heuristic for H100s: casting the operands of a narrower layer may take longer than its matmul gains
_NARROW_OUTPUT, _WIDE_INPUT = 1024, 4096
SLOWER_UP_TO = 1024  # model.d_model with which an H100 was slower in fp8 than in bf16 (docs/gpu.md)
_JOINED = "key_value"  # one matmul for all decoder layers (models/layers.joined_linear)


def check_fp8_device(can: Capabilities, precision: Precision) -> None:
    """Raise UserError where a device, a precision of training or a missing package excludes fp8."""
    if can.compute_capability is None or can.compute_capability < _MIN_CAPABILITY:
        here = str(can) or ("this GPU" if can.on_gpu else "a CPU")
        raise UserError(f"{_OPTION} needs an NVIDIA GPU of compute capability 8.9 or above, not {here}: {_LEAVE}")
    if precision is not Precision.bf16:
        raise UserError(f"{_OPTION} needs compute.precision=bf16, not {precision}: {_LEAVE}, or set that")
    torchao()


def has_fp8_layers(config: TrainConfig) -> bool:
    """True if layers of a configured model are wide enough. Raises UserError if none is, unless the size is open."""
    if config.adapt.adds_weights:
        raise UserError(f"{_OPTION} is for training all weights, not for adapt={config.adapt.method}: {_LEAVE}")
    with torch.device("meta"):  # shapes alone; the vocabulary, yet unknown, has no part in those that count
        model = build_model(config.model, Vocabularies(MAX_VOCAB_SIZE, MAX_VOCAB_SIZE, shared=True))
    if fp8_layers(model):
        return True
    if SIZE in config.chosen:  # recipe=auto measures small models first, and may choose one
        return False
    raise UserError(
        f"{_OPTION}: no linear layer of this model is wide enough (an output above {_NARROW_OUTPUT:,} or "
        f"an input above {_WIDE_INPUT:,}, both multiples of {_ALIGNMENT}): {_LEAVE}, or choose a wider model"
    )


def torchao() -> ModuleType:
    """torchao.float8. Raises UserError where it is missing."""
    # it warns of kernels of its own that it cannot load; float8 training uses PyTorch's
    logging.getLogger("torchao").setLevel(logging.ERROR)
    return import_extra("torchao.float8", extra="fp8", purpose=_OPTION)


@dataclass(frozen=True, eq=False)
class _Child:
    """A linear layer, and the module and name that hold it."""

    parent: nn.Module
    name: str
    layer: nn.Linear


def fp8_layers(model: Seq2Seq) -> list[_Child]:
    """The linear layers that are wide enough."""
    return [
        _Child(parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        # the output layer alone sees the rare words, and its matmul is part of the loss
        if type(child) is nn.Linear and child is not model.projection and name != _JOINED and _is_wide(child)
    ]


def _is_wide(layer: nn.Linear) -> bool:
    inputs, outputs = layer.in_features, layer.out_features
    is_narrow = outputs <= _NARROW_OUTPUT and inputs <= _WIDE_INPUT
    return not (inputs % _ALIGNMENT or outputs % _ALIGNMENT or is_narrow)


class Fp8Layers:
    """torchao's versions of a model's linear layers, which replace them inside a context.

    They share the weights. Outside of the context the model is plain: it is saved, validated and exported without
    torchao.

    emulated  compute on any device, by fp32 matmuls of rounded operands: for tests
    """

    def __init__(self, model: Seq2Seq, *, emulated: bool):
        float8 = torchao()
        # the gradient of a weight sums over tokens, whose number is no multiple of 16: zeros are added
        config = replace(float8.Float8LinearConfig.from_recipe_name("tensorwise"), pad_inner_dim=True, emulate=emulated)
        self._layers = [
            (child, float8.convert_to_float8_training(child.layer, config=config)) for child in fp8_layers(model)
        ]
        weights = [module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear)]
        chosen = [child.layer.weight.numel() for child, _ in self._layers]
        share = f"{len(chosen)} of {len(weights)} linear layers, {sum(chosen) / sum(weights):.0%} of their weights"
        self.summary = f"{share} (torchao {version('torchao')})"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Context in which the layers compute in fp8; the backward pass may come after it."""
        try:
            for child, layer in self._layers:
                # not by setattr, which takes as long as a launch
                child.parent._modules[child.name] = layer
            yield
        finally:
            for child, _ in self._layers:
                child.parent._modules[child.name] = child.layer
