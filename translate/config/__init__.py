"""Where YAML groups meet dataclasses."""

from translate.config.command import is_given, run_command
from translate.config.options import Variants

__all__ = ["Variants", "is_given", "run_command"]
