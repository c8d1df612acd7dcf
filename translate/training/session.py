"""A session of a run: what all its processes must share, and what differs from the session before it.

Processes with other settings, files or versions would drift apart, or wait for each other forever. A session with
another number of processes, or on other hardware, continues the run, but no longer bit for bit.
"""

from __future__ import annotations

import logging
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu
import sentencepiece
import torch

import translate
from translate.data.clean_text import content_hashes
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.device import processor_name
from translate.distributed import World, name_processes
from translate.errors import UserError
from translate.files import flatten, to_plain
from translate.training.config import TrainConfig
from translate.training.parallel import TrainingDecision
from translate.training.state import TrainState

logger = logging.getLogger(__name__)

# settings that may differ between processes: paths, whose content is compared, and settings without effect on the
# result; the device is compared as chosen
_OF_ONE_PROCESS = {
    "data.root",
    "data.train_stem",
    "data.cache",
    "adapt.model",
    "back_translation.monolingual",
    "compute.device",
    "compute.threads",
    "compute.timeout",
    "run.dir",
}
_VERSIONS = ("translate", "commit", "torch", "sentencepiece", "numpy")
# what a result depends on to the last bit -> its name in the log
_EXACT = {"processes": "processes", "threads": "threads", "torch": "torch", "hardware": "hardware"}
_HASH_LENGTH = 12  # digits of a hash in a message


@dataclass(frozen=True)
class Fact:
    """A value that all processes must share, None where it is unknown; shown: its text in a message."""

    value: Any
    shown: str


_ABSENT = Fact("absent here", "absent")


def compare_processes(config: TrainConfig, decision: TrainingDecision, world: World) -> None:
    """Raise UserError on every process where versions, settings or data files differ between processes."""
    if world.size == 1:
        return
    require_equal(_versions() | _settings(config, decision), world)
    # last: hashing large files takes minutes
    require_equal(_files(config.data), world)


def require_equal(facts: Mapping[str, Fact], world: World) -> None:
    """Raise UserError on every process where a fact differs: its name, and its values with their ranks."""
    gathered: list[dict[str, Fact]] = world.gather(dict(facts), patient=True)
    names = dict.fromkeys(name for each in gathered for name in each)
    found = {name: _by_value([each.get(name, _ABSENT) for each in gathered]) for name in names}
    if differing := [name for name in names if len(found[name]) > 1]:
        name, *others = differing
        values = ", ".join(f"{shown} on {name_processes(ranks)}" for shown, ranks in found[name])
        more = f"; they also differ in {', '.join(others[:5])}" if others else ""
        raise UserError(
            f"{name} differs between the processes of this run: {values}{more}. Start all with the same command, "
            "program and files"
        )


def _by_value(facts: list[Fact]) -> list[tuple[str, list[int]]]:
    """Each known value as it is shown first, with the ranks that have it; facts: by rank."""
    ranks: dict[str, list[int]] = {}
    for rank, fact in enumerate(facts):
        if fact.value is not None:
            ranks.setdefault(repr(fact.value), []).append(rank)
    return [(facts[having[0]].shown, having) for having in ranks.values()]


def _versions() -> dict[str, Fact]:
    versions = provenance()
    facts = {name: Fact(versions[name] or None, versions[name]) for name in _VERSIONS}
    # patch releases of Python compute alike
    python = ".".join(platform.python_version_tuple()[:2])
    return facts | {"python": Fact(python, python)}


def _settings(config: TrainConfig, decision: TrainingDecision) -> dict[str, Fact]:
    """All options but those of one process, and what was decided for the device."""
    plain = to_plain(config)
    data = plain["data"]
    # one option for each corpus, so that a message names it
    listed = {
        f"{name}[{index}]": corpus
        for name in ("additional", "further_tests")
        for index, corpus in enumerate(data.pop(name))
    }
    for corpus in [data["train"], data["valid"], data["test"], *listed.values()]:
        # names of columns in a table, but paths in text files
        for key in ("source", "target", "path") if corpus["format"] == CorpusFormat.text else ("path",):
            del corpus[key]
    data |= listed
    options = {name: value for name, value in flatten(plain).items() if name not in _OF_ONE_PROCESS}
    chosen = {
        "the device": decision.device.type,
        "the precision": decision.precision.value,
        "the layout of batches": "packed" if decision.packed else "padded",
    }
    return {name: Fact(value, str(value)) for name, value in (options | chosen).items()}


def _files(data: DataConfig) -> dict[str, Fact]:
    """Hashes of the files of all corpora."""
    facts = {}
    for key, corpus in data.training_corpora + data.evaluation_corpora:
        for index, value in enumerate(content_hashes(corpus, key=key), start=1):
            facts[f"file {index} of {key}"] = hash_fact(value, path=_path(corpus, index))
    return facts


def _path(corpus: CorpusConfig, index: int) -> str:
    """Path of a corpus's file, for a message; "" where files are found by a pattern."""
    paths = [corpus.source, *corpus.targets] if corpus.format is CorpusFormat.text else []
    return paths[index - 1] if paths else ""


def hash_fact(value: str, *, path: str = "") -> Fact:
    """A hash, of which a message has the first digits; path: of the file, if there is one."""
    return Fact(value, f"{path} with hash {value[:_HASH_LENGTH]}" if path else f"hash {value[:_HASH_LENGTH]}")


def take_up_session(
    config: TrainConfig, decision: TrainingDecision, state: TrainState, world: World, *, manifest: Mapping[str, Any]
) -> None:
    """Log what differs from the session that saved the state, and leave an epoch whose batches would differ.

    manifest  of the run: states of older versions have no session, that of the run's first one is in it
    """
    versions = provenance()
    now = {
        "processes": world.size,
        "batch_tokens": config.batch.tokens * config.batch.accumulation * world.size,
        "packed": decision.packed,
        **{name: versions[name] for name in ("threads", "torch", "hardware")},
    }
    before: dict[str, Any] = {name: manifest.get(name) for name in ("threads", "torch", "hardware")}
    before |= state.progress.session
    state.progress.session = now
    if not state.step:
        return
    changed = {name for name in now if before.get(name) not in (None, now[name])}
    if differences := [f"{name}: {before[name]} before, {now[name]} now" for name in _EXACT if name in changed]:
        logger.info(
            f"this session differs from the one before ({'; '.join(differences)}): the run continues, but no longer "
            "bit for bit as it would have done"
        )
    if "batch_tokens" in changed:
        logger.info(_describe_batch(config, now, before=before["batch_tokens"]))
    if "packed" in changed:
        state.begin_next_epoch()  # its position counts batches of another plan


def _describe_batch(config: TrainConfig, now: Mapping[str, Any], *, before: int) -> str:
    """Log line for another size of an update's batch, with the accumulation that would keep the size."""
    line = (
        f"an update has at most {now['batch_tokens']:,} tokens on either side, {before:,} before "
        f"(batch.tokens × batch.accumulation × processes)"
    )
    accumulation, rest = divmod(before, config.batch.tokens * now["processes"])
    return line if rest or not accumulation else f"{line}; batch.accumulation={accumulation} would keep it"


def provenance() -> dict[str, Any]:
    """Versions and hardware that a result depends on."""
    return {
        "translate": translate.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "sentencepiece": sentencepiece.__version__,
        "sacrebleu": sacrebleu.__version__,
        "numpy": np.__version__,
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name(),
        "threads": torch.get_num_threads(),
    }


def _commit() -> str:
    """The commit of this source tree, with a mark if files differ from it; empty outside a repository."""
    root = Path(translate.__file__).parent.parent
    if not (root / ".git").exists():  # an installed package; git would find a repository around it
        return ""
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
