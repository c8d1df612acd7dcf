"""Readers of what a run shows in TensorBoard."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import Experiment
from tensorboard.plugins.hparams.metadata import (
    EXPERIMENT_TAG,
    SESSION_END_INFO_TAG,
    SESSION_START_INFO_TAG,
    parse_experiment_plugin_data,
    parse_session_end_info_plugin_data,
    parse_session_start_info_plugin_data,
)


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """Values by step of each curve, without those of steps that came again."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}, purge_orphaned_data=True).Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def pictures(folder: Path) -> list[str]:
    """Names of the pictures."""
    return EventAccumulator(str(folder)).Reload().Tags()["images"]


def hparams_row(folder: Path) -> tuple[str, dict[str, object], int]:
    """The row of the HParams tab: title, settings and results, and status; 0: the run has not ended."""
    events = EventAccumulator(str(folder)).Reload()
    start = parse_session_start_info_plugin_data(_content(events, SESSION_START_INFO_TAG))
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    has_ended = SESSION_END_INFO_TAG in events.summary_metadata
    status = parse_session_end_info_plugin_data(_content(events, SESSION_END_INFO_TAG)).status if has_ended else 0
    return start.group_name, values, status


def columns(folder: Path) -> Experiment:
    """Columns of the HParams tab for the runs in a folder."""
    events = EventAccumulator(str(folder)).Reload()
    return parse_experiment_plugin_data(_content(events, EXPERIMENT_TAG))


def _content(events: EventAccumulator, tag: str) -> bytes:
    return events.summary_metadata[tag].plugin_data.content
