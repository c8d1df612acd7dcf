"""What the settings of all auxiliary losses have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(kw_only=True)
class AuxiliaryConfig:
    """weight: what the loss, a sum over target tokens, is multiplied by before it is added to the main one."""

    NEEDS_ATTENTION: ClassVar[bool] = False

    weight: float = 1.0
