"""Positions in the data: each pair once an epoch, also where the number of processes or the accumulation changes."""

import json

import pytest
import torch
import yaml

from small_streams import drawn_longer, make_stream, pairs_of
from translate.data.loader import DataPosition
from translate.distributed import World
from translate.training.run_folder import RunFolder
from translate.training.state_folder import saved_position

KINDS = {"padded": {}, "packed": {"packed": True}, "grouped": {"sample": drawn_longer}}
# (processes, accumulation) of two sessions
CHANGES = [((2, 1), (1, 1)), ((1, 1), (2, 1)), ((2, 1), (3, 1)), ((1, 3), (1, 2)), ((2, 2), (3, 1))]


def session(start, *, size, accumulation, updates, kind):
    """Pairs of all processes from a position on, up to a number of updates or the end of the epoch; and its end."""
    pairs, ends, number = [], set(), start.epoch
    for rank in range(size):
        position, world = start, World(rank, size)
        with make_stream(world=world, tokens=24, accumulation=accumulation, start=start, **KINDS[kind]) as stream:
            taken = []
            while position.epoch == number and len(taken) < updates:
                taken.append(stream.next(0.0))
                position = taken[-1].after
        pairs += pairs_of(taken)
        ends.add((position, taken[-1].epochs))
    [(end, epochs)] = ends  # the same for every process
    return pairs, end, epochs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("before", "after"), CHANGES)
@pytest.mark.parametrize("updates", [1, 3])
def test_each_pair_is_seen_once_where_processes_or_accumulation_change(kind, before, after, updates):
    first, position, _ = session(DataPosition(), size=before[0], accumulation=before[1], updates=updates, kind=kind)
    assert position == DataPosition(batches=updates * before[0] * before[1])
    rest, end, epochs = session(position, size=after[0], accumulation=after[1], updates=1000, kind=kind)
    assert sorted(first + rest) == list(range(60))
    assert (end, epochs) == (DataPosition(epoch=1), 1.0)


def test_fraction_of_an_epoch_is_that_of_its_batches():
    with make_stream(tokens=24) as stream:
        plan = len(stream.plan(DataPosition()))
    _, _, epochs = session(DataPosition(batches=3), size=2, accumulation=2, updates=1, kind="padded")
    assert epochs == 7 / plan


def test_position_beyond_the_plan_continues_with_the_next_epoch():
    with make_stream(start=DataPosition(batches=1000)) as stream:
        assert stream.next(0.0).after == DataPosition(epoch=1, batches=1)


@pytest.mark.parametrize("batch", [{"accumulation": 3}, {}, None])
def test_state_of_an_older_version_counts_updates(tmp_path, batch):
    """Batches are updates times accumulation times processes; the oldest states have no phase."""
    state = tmp_path / "state" / "step-00000010"
    state.mkdir(parents=True)
    config = {"data": {}, "tokenizer": {}, "model": {}, "run": {}, "batch": batch}
    RunFolder(tmp_path).config_file.write_text(yaml.safe_dump(config))
    torch.save({"random": [{}, {}]}, state / "training.pt")
    batches = 5 * 2 * (3 if batch else 1)
    assert saved_position({"epoch": 4, "updates": 5}, state) == {"epoch": 4, "batches": batches}
    assert saved_position({"epoch": 4, "updates": 5, "phase": 1}, state)["phase"] == 1


def test_position_is_saved_and_read_as_it_is(tmp_path):
    position = DataPosition(epoch=2, batches=7, phase=1)
    assert DataPosition(**saved_position(json.loads(json.dumps(vars(position))), tmp_path)) == position
