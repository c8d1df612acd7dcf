"""A session on another number of threads, other hardware or another PyTorch says that bits may differ."""

from dataclasses import replace

import pytest
import torch

from small_runs import ON_CPU, update_config
from translate.data.loader import DataPosition
from translate.distributed import World
from translate.training.progress import RunProgress
from translate.training.session import provenance, take_up_session
from translate.training.state import TrainState


@pytest.fixture
def take_up(caplog, monkeypatch):
    """Log lines of a session that continues one with other facts; and the state."""
    monkeypatch.setattr(World, "gather", lambda _, value, **__: [value])  # no other processes

    def lines(before, *, manifest=None, decision=ON_CPU, world=World()):  # noqa: B008
        state = TrainState.__new__(TrainState)  # progress alone is of interest
        position = DataPosition(epoch=2, batches=3)
        state.progress = RunProgress(step=60, position=position, session=before)
        caplog.clear()
        with caplog.at_level("INFO"):
            take_up_session(update_config(), decision, state, world, manifest=manifest or {})
        return [record.message for record in caplog.records], state

    return lines


def test_session_like_the_one_before_says_nothing(take_up):
    _, state = take_up({})
    assert take_up(state.progress.session)[0] == []


@pytest.mark.parametrize(("fact", "value"), [("threads", 99), ("torch", "1.0"), ("hardware", "another processor")])
def test_what_differs_from_the_session_before_is_one_line(take_up, fact, value):
    _, state = take_up({})
    [line], _ = take_up(state.progress.session | {fact: value})
    assert f"({fact}: {value} before, {provenance()[fact]} now)" in line
    assert "no longer bit for bit" in line


def test_session_of_an_older_version_is_that_of_the_manifest(take_up):
    """Its states have the number of processes alone."""
    threads = torch.get_num_threads()
    lines, _ = take_up({"processes": 1}, manifest=provenance() | {"threads": threads + 1})
    assert [f"threads: {threads + 1} before, {threads} now" in line for line in lines] == [True]


def test_another_layout_of_batches_begins_an_epoch(take_up):
    """Its plan has other batches, so that a position within it means nothing."""
    _, state = take_up({})
    lines, state = take_up(state.progress.session, decision=replace(ON_CPU, padded_because=""))
    assert lines == ["batches have changed: epoch 3 begins"]
    assert state.progress.position == DataPosition(epoch=3)


def test_size_of_an_update_is_told_with_the_accumulation_that_keeps_it(take_up):
    _, state = take_up({}, world=World(0, 4))
    lines, _ = take_up(state.progress.session, world=World(0, 2))
    assert len(lines) == 2
    assert lines[1].startswith("an update has at most 8,192 tokens on either side, 16,384 before")
    assert lines[1].endswith("batch.accumulation=2 would keep it")
    lines, _ = take_up(state.progress.session, world=World(0, 3))
    assert "batch.accumulation=" not in lines[1]
