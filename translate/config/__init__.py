"""Where YAML groups meet dataclasses."""

from translate.config.command import run_command
from translate.config.command_line import is_given
from translate.config.groups import Variants

__all__ = ["Variants", "is_given", "run_command"]
