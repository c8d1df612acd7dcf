"""Where YAML groups meet dataclasses."""

from translate.config.command import run_command
from translate.config.groups import Variants

__all__ = ["Variants", "run_command"]
