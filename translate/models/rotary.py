"""Rotary positions: queries and keys are rotated by angles that grow with their positions (Su et al. 2021, "RoFormer").

Letters as in layers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from translate.models.layers import angles, only_shapes


@dataclass(frozen=True, eq=False)
class Rotation:
    """Cosines and sines of the rotary angles, computed once per forward pass (Su et al. 2021, "RoFormer").

    cosines, sines  (B, 1, L, W), or (N, 1, W) when packed: for each element of a head, sines with the sign that the
                    other element of its plane has in the sum
    """

    cosines: Tensor
    sines: Tensor

    def rotate(self, x: Tensor) -> Tensor:
        """Rotate queries or keys (B, H, L, W) or (N, H, W); elements i and W / 2 + i span a plane.

        A score then depends on the distance between two tokens, not on their positions.
        """
        first, second = x.chunk(2, dim=-1)
        rotated = x * self.cosines + torch.cat([second, first], dim=-1) * self.sines
        # the tables are fp32: bf16 could not tell distant positions apart
        return rotated.type_as(x)

    def split(self, heads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values, (B, H, L, W) or (N, H, W), of all heads (B, 3H, L, W) or (N, 3H, W)."""
        if heads.is_cuda and not torch.compiler.is_compiling():
            query, key, value = _SplitAndRotate.apply(heads, self.cosines, self.sines)
            return query, key, value
        if heads.requires_grad and heads.dtype is torch.float32 and not torch.compiler.is_compiling():
            query, key, value = _SplitAndRotateHalves.apply(heads, self.cosines, self.sines)
            return query, key, value
        num_heads = heads.shape[1] // 3
        query_key, value = heads.split((2 * num_heads, num_heads), dim=1)
        # both at once, which halves the operations
        query, key = self.rotate(query_key).chunk(2, dim=1)
        return query, key, value


class _SplitAndRotate(torch.autograd.Function):
    """Rotation.split in three kernels, and four for its gradient; PyTorch's own would be 6 and 10."""

    @staticmethod
    def forward(ctx: Any, heads: Tensor, cosines: Tensor, sines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cosines, sines)
        return _split_rotated(heads, cosines, sines, _rotate)

    @staticmethod
    def backward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, None, None]:
        cosines, sines = ctx.saved_tensors
        heads = torch.cat([query, key, value], dim=1)
        query_key = heads[:, : 2 * query.shape[1]]
        _rotate(query_key, cosines, sines, out=query_key, back=True)
        return heads, None, None


def _split_rotated(
    heads: Tensor, cosines: Tensor, sines: Tensor, rotate: Callable[..., None]
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, rotated together by `rotate`, and values of all heads."""
    num_heads = heads.shape[1] // 3
    query_key, value = heads.split((2 * num_heads, num_heads), dim=1)
    rotated = torch.empty_like(query_key)
    rotate(query_key, cosines, sines, out=rotated)
    query, key = rotated.chunk(2, dim=1)
    return query, key, value


def _rotate(x: Tensor, cosines: Tensor, sines: Tensor, *, out: Tensor, back: bool = False) -> None:
    """Write the rotated elements of each plane, in the type of `out`; sums are fp32. back: by the negative angles."""
    first, second = x.chunk(2, dim=-1)
    swapped = torch.cat([second, first], dim=-1)  # roll would copy x beforehand, which is a part of all heads
    torch.addcmul(x * cosines, swapped, sines, value=-1 if back else 1, out=out)


class _SplitAndRotateHalves(torch.autograd.Function):
    """Rotation.split in fp32, without copies of swapped halves; its gradient has the layout of the projection.

    Faster on a CPU; on a GPU it would launch three kernels more.
    """

    @staticmethod
    def forward(ctx: Any, heads: Tensor, cosines: Tensor, sines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cosines, sines)
        ctx.shape, ctx.stride = heads.shape, heads.stride()
        return _split_rotated(heads, cosines, sines, _rotate_halves)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, None, None]:
        cosines, sines = ctx.saved_tensors
        heads = query.new_empty_strided(ctx.shape, ctx.stride)
        of_query, of_key, of_value = heads.chunk(3, dim=1)
        _rotate_halves(query, cosines, sines, out=of_query, back=True)
        _rotate_halves(key, cosines, sines, out=of_key, back=True)
        of_value.copy_(value)
        return heads, None, None


def _rotate_halves(x: Tensor, cosines: Tensor, sines: Tensor, *, out: Tensor, back: bool = False) -> None:
    """As _rotate, of fp32 alone: in a narrower type the first product would be rounded before the sum."""
    torch.mul(x, cosines, out=out)
    half, sign = x.shape[-1] // 2, -1 if back else 1
    out[..., :half].addcmul_(x[..., half:], sines[..., :half], value=sign)
    out[..., half:].addcmul_(x[..., :half], sines[..., half:], value=sign)


class Rotary(nn.Module):
    """Table of rotations for positions 0 to max_positions - 1 and heads of the given width."""

    table: Tensor

    def __init__(self, width: int, max_positions: int):
        super().__init__()
        table = torch.empty(max_positions, 2 * width) if only_shapes() else self._rotations(max_positions, width)
        self.register_buffer("table", table, persistent=False)

    @staticmethod
    def _rotations(length: int, width: int) -> Tensor:
        phases = angles(length, width)
        cosines, sines = phases.cos(), phases.sin()
        # side by side, so that one look-up gives both
        return torch.cat([cosines, cosines, -sines, sines], dim=-1)

    def forward(self, positions: Tensor) -> Rotation:
        """positions (B, L) or (N,), int64."""
        cosines, sines = F.embedding(positions, self.table).unsqueeze(1).chunk(2, dim=-1)  # equal for all heads
        return Rotation(cosines, sines)
