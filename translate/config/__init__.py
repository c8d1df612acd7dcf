"""Where YAML groups meet dataclasses."""

from translate.config.command import run_command
from translate.config.command_line import given_options
from translate.config.groups import Variants

__all__ = ["Variants", "given_options", "run_command"]
