"""Rotary positions: queries and keys are turned by angles that grow with their places (Su et al. 2021, "RoFormer").

A score then depends on how far apart two tokens are, not on where they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from translate.models.layers import angles


@dataclass(frozen=True, eq=False)
class Rotation:
    """By how much each token is turned, worked out once per pass and used by every layer.

    cosines, sines  (B, 1, T, W / 2), or (N, 1, W / 2) when packed: of the angles of the W / 2 planes of each head
    """

    cosines: Tensor
    sines: Tensor

    def turn(self, x: Tensor) -> Tensor:
        """Queries or keys (…, B, H, T, W) or (N, H, W); element i and element W / 2 + i span a plane."""
        first, second = x.chunk(2, dim=-1)
        turned = first * self.cosines - second * self.sines, first * self.sines + second * self.cosines
        return torch.cat(turned, dim=-1).type_as(x)  # in bfloat16 alone, far places would be told apart badly

    def turn_back(self, x: Tensor) -> Tensor:
        """What turn undoes; and the gradient of x from that of turn(x)."""
        return Rotation(self.cosines, -self.sines).turn(x)


class Rotary(nn.Module):
    """The rotations of places 0 to max_positions - 1, for heads of the given width."""

    cosines: Tensor
    sines: Tensor

    def __init__(self, *, width: int, max_positions: int):
        super().__init__()
        table = angles(max_positions, width)
        self.register_buffer("cosines", table.cos(), persistent=False)
        self.register_buffer("sines", table.sin(), persistent=False)

    def forward(self, positions: Tensor) -> Rotation:
        """positions (B, T) or (N,), int64."""
        return Rotation(self.cosines[positions].unsqueeze(1), self.sines[positions].unsqueeze(1))
