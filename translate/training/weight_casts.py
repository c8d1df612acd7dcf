"""Casts of the weights of linear layers to the precision of matrix products, many weights in one kernel.

Autocast casts each weight by itself, and its gradient back: some six hundred launches an update of a base Transformer,
which a GPU with small batches spends more time on than on the products. It does not keep casts of frozen weights, which
LoRA has, and makes them anew for each use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_GROUP = 8 * 2**20  # weights, about as many as a bucket of gradients that DDP exchanges


class _CastTogether(torch.autograd.Function):
    """Copies of fp32 tensors in another type; gradients return in fp32."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # a weight without part in the loss has no gradient
        return _copies(weights, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        wide = iter(_copies([gradient for gradient in gradients if gradient is not None], torch.float32))
        return None, *(None if gradient is None else next(wide) for gradient in gradients)


def _copies(tensors: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    copies = tuple(torch.empty_like(tensor, dtype=dtype) for tensor in tensors)
    if copies:
        torch._foreach_copy_(copies, tuple(tensors))
    return copies


class WeightCasts:
    """Casts of a model's linear layers to `dtype`, which replace their weights for a while.

    Weights that another kind of module shares, as an embedding does with the output layer, stay as they are: autocast
    casts them at each use. Numbers are those of autocast.

    overlapping  make groups of casts, so that some gradients are complete, and can be exchanged with other processes,
                 while others are still computed
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype, *, overlapping: bool):
        self.dtype = dtype
        self._owners = _owners(model)  # (module's parameters, name) of each weight
        trained = [weight for weight in self._owners if weight.requires_grad]
        self._groups = _grouped(trained, _GROUP) if overlapping else [trained]
        self._frozen = [weight for weight in self._owners if not weight.requires_grad]
        self._frozen_casts: tuple[Tensor, ...] = ()
        self._frozen_versions: list[int] = []

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Context in which the layers compute with casts; the backward pass may come after it."""
        casts = zip(self._frozen, self._of_frozen(), strict=True)
        try:
            for weight, cast in casts:
                self._replace(weight, cast)
            for group in self._groups:
                for weight, cast in zip(group, _CastTogether.apply(self.dtype, *group), strict=True):
                    self._replace(weight, cast)
            yield
        finally:
            for weight in self._owners:
                self._replace(weight, weight)

    def _replace(self, weight: nn.Parameter, cast: Tensor) -> None:
        for parameters, name in self._owners[weight]:
            # not by setattr, which accepts parameters alone
            parameters[name] = cast  # type: ignore[assignment]

    def _of_frozen(self) -> tuple[Tensor, ...]:
        """Casts of weights that are not trained, made again only after these were changed, as by loading."""
        versions = [weight._version for weight in self._frozen]
        if versions != self._frozen_versions:
            self._frozen_casts, self._frozen_versions = _copies(self._frozen, self.dtype), versions
        return self._frozen_casts


_Owner = tuple[dict[str, nn.Parameter | None], str]


def _owners(model: nn.Module) -> dict[nn.Parameter, list[_Owner]]:
    """The fp32 weights and biases of linear layers alone, and where each of them is held."""
    owners: dict[nn.Parameter, list[_Owner]] = {}
    shared = set()
    for module in model.modules():
        for name, weight in module._parameters.items():
            if type(module) is not nn.Linear:
                shared.add(weight)
            elif weight is not None and weight.dtype is torch.float32:
                owners.setdefault(weight, []).append((module._parameters, name))
    return {weight: found for weight, found in owners.items() if weight not in shared}


def _grouped(weights: Sequence[nn.Parameter], size: int) -> list[list[nn.Parameter]]:
    """Consecutive weights, of more than `size` elements together in each group but the last."""
    groups: list[list[nn.Parameter]] = [[]]
    for weight in weights:
        if sum(x.numel() for x in groups[-1]) > size:
            groups.append([])
        groups[-1].append(weight)
    return groups
