"""What the settings of all auxiliary losses have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(kw_only=True)
class AuxiliaryConfig:
    """weight: what the loss, a sum over target tokens, is multiplied by before it is added to the main one.

    start  share of the run after which it takes part: what costs a second pass may be affordable near the end
    """

    NEEDS_ATTENTION: ClassVar[bool] = False

    weight: float = 1.0
    start: float = 0.0
