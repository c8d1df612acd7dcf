"""The YAML files: where they are, and what can be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra

CONFIGS = Path(__file__).parent.parent.parent / "configs"

IS_HYDRA_1_3 = hydra.__version__.startswith("1.3.")

# Hydra 1.3 asks which version's behaviour is wanted; 1.4 has one, and warns of the question
BEHAVIOUR = {"version_base": "1.3"} if IS_HYDRA_1_3 else {}

Variants = Mapping[str, Mapping[str, type[Any]]]


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))
