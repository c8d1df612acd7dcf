"""What --help prints."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import Any

import hydra
import yaml
from omegaconf import OmegaConf

from translate.config.groups import BEHAVIOUR, CONFIGS, choices


def help_text(name: str, schema: type[Any]) -> str:
    """What --help prints: what the options mean, the choices of each group, and all values as they are."""
    with hydra.initialize_config_dir(str(CONFIGS), **BEHAVIOUR):
        config = hydra.compose(name, overrides=[word for word in sys.argv[1:] if not word.startswith("-")])
    defaults = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))["defaults"]
    groups = [key for entry in defaults if isinstance(entry, dict) for key in entry if " " not in key]
    return "\n".join(
        [
            f"usage: python -m translate.{name} [NAME=VALUE ...]",
            *(["", inspect.cleandoc(schema.__doc__)] if schema.__doc__ else []),
            "",
            "Choices (NAME=CHOICE):",
            *(f"  {group}: {', '.join(choices(group))}" for group in groups),
            "",
            "Options (NAME=VALUE), with the values they have now:",
            textwrap.indent(OmegaConf.to_yaml(config), "  "),
        ]
    )
