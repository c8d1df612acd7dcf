"""Folders of saved states: their names and files, and damaged ones, which are set aside.

state/step-00001000/ holds weights.safetensors, average.safetensors (if there is one), training.pt, progress.json,
checksums.json and copies of the run's config.yaml and manifest.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from translate.checksums import DamagedError, verify
from translate.errors import UserError
from translate.files import flush
from translate.model_directory import MANIFEST, WEIGHTS
from translate.parsing import read_yaml

AVERAGE, TRAINING, PROGRESS = "average.safetensors", "training.pt", "progress.json"
CONFIG = "config.yaml"
STATE_FILES = (WEIGHTS, AVERAGE, TRAINING, PROGRESS, CONFIG, MANIFEST)
STATE_NAME = re.compile(r"step-[0-9]{8}")
_OF_A_CONFIG = {"data", "tokenizer", "model", "run"}  # keys that config.yaml has always had
_NEEDED = (WEIGHTS, TRAINING, PROGRESS)


def state_name(step: int) -> str:
    """Name of the folder of a state."""
    return f"step-{step:08d}"


def state_step(folder: Path) -> int:
    """Step of a state, by the name of its folder."""
    return int(folder.name.removeprefix("step-"))


def state_folders(directory: Path) -> list[Path]:
    """The states in a run's state folder, complete or not, oldest first; other names are not the program's."""
    if not directory.is_dir():
        return []
    folders = [path for path in directory.iterdir() if STATE_NAME.fullmatch(path.name)]
    # Eight digits in each name: alphabetical order is the order of steps. Any of the files makes a state, so that a
    # damaged one is noticed.
    return sorted(folder for folder in folders if any((folder / name).is_file() for name in STATE_FILES))


def require_states(directory: Path) -> None:
    """Raise UserError for a run whose states are gone: started anew, it would replace the models of the former."""
    if not state_folders(directory):
        raise UserError(
            f"run.dir={directory.parent}: its states are missing ({directory}), without which it cannot continue; "
            "bring them back, or choose another run.dir"
        )


def saved_states(directory: Path) -> list[Path]:
    """The states that lack no file, oldest first."""
    return [folder for folder in state_folders(directory) if all((folder / name).is_file() for name in _NEEDED)]


def verify_state(folder: Path, *, contents: bool = True) -> bool:
    """True if a state is what was written; False for one of an earlier version, which has no checksums.

    contents  see checksums.verify

    Raises DamagedError for a file that is missing, or not what was written.
    """
    checksums = verify(folder, contents=contents)
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise DamagedError(folder, f"{name} is missing")
    return bool(checksums)


def set_aside_damaged(directory: Path) -> list[str]:
    """Set aside the states that are newer than the newest undamaged one; a line for the log on each."""
    damaged = {}
    # older ones are compared when they are averaged: reading takes a second per GB
    for folder in reversed(state_folders(directory)):
        try:
            verify_state(folder)
            break
        except DamagedError as error:
            damaged[folder] = error.finding
    return set_aside(directory, damaged)


def set_aside(directory: Path, damaged: Mapping[Path, str]) -> list[str]:
    """Rename damaged states, so that they are none any more and their files are kept; a line for the log on each.

    damaged  the findings, by folder

    Raises UserError where no other state is there: the next session would start anew.
    """
    folders = state_folders(directory)
    if damaged and len(damaged) == len(folders):
        newest = folders[-1]
        raise UserError(
            f"{directory}: no state of the run can be read ({newest.name}: {damaged[newest]}); bring one back, or "
            "choose another run.dir"
        )
    return [
        f"{folder} is damaged ({finding}) and set aside as {_renamed(folder).name}"
        for folder, finding in damaged.items()
    ]


def _renamed(folder: Path) -> Path:
    """Give a damaged state a name that no folder has."""
    target, number = folder.with_name(f"{folder.name}.damaged"), 1
    while target.exists():
        number += 1
        target = folder.with_name(f"{folder.name}.damaged-{number}")
    folder.rename(target)
    # or a power cut would bring the damaged state back under its name
    flush(folder.parent)
    return target


def read_config(path: Path) -> dict[str, Any]:
    """A run's config.yaml. Raises UserError for a damaged one."""
    try:
        content = read_yaml(path)
    except UserError:
        content = None
    if not isinstance(content, dict) or not content.keys() >= _OF_A_CONFIG:
        raise UserError(f"{path} is damaged or not a run's configuration; bring it back, or choose another run.dir")
    return content
