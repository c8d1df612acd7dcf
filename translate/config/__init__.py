"""Configuration: YAML files and the command line become a dataclass, the only part that knows Hydra.

command.py reads the command line, composes the configuration and runs the command; calls.py composes one for callers in
Python; options.py knows which options there are, for --help and for hints; sweep.py runs many configurations.
"""

from translate.config.command import Tables, is_given, run_command

__all__ = ["Tables", "is_given", "run_command"]
