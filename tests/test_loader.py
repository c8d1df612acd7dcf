"""The update stream: content of an update, its share for each process, and start from any position."""

import threading
import time

import numpy as np
import pytest
import torch

from small_streams import GROUPED, drawn_longer, epoch, follow, look_up, make_stream, pairs_of, take
from translate.batch import NO_TARGET, pack_batch, pad_batch
from translate.data.loader import DataPosition
from translate.distributed import World
from translate.tokenizer import BOS, EOS


def test_the_source_ends_with_eos_and_the_labels_are_the_target_shifted():
    batch = pad_batch([np.array([5, 6]), np.array([7])], [np.array([8]), np.array([9, 10])])
    assert batch.source.ids.tolist() == [[5, 6, EOS], [7, EOS, 0]]
    assert batch.target.ids.tolist() == [[BOS, 8, 0], [BOS, 9, 10]]
    assert batch.labels.tolist() == [[8, EOS, NO_TARGET], [9, 10, EOS]]
    assert (batch.num_target_tokens, batch.num_source_tokens) == (5, 5)


def test_packed_batch_holds_the_sentences_of_the_padded_one():
    batch = pack_batch([np.array([5, 6]), np.array([7])], [np.array([8]), np.array([9, 10])], tokens=8)
    assert batch.source.ids.tolist() == [5, 6, EOS, 7, EOS, 0, 0, 0]
    assert batch.source.positions.tolist() == [0, 1, 2, 0, 1, 0, 0, 0]
    assert batch.source.offsets.tolist() == [0, 3, 5, 6, 8]
    assert batch.target.ids.tolist() == [BOS, 8, BOS, 9, 10, 0, 0, 0]
    assert batch.labels.tolist() == [8, EOS, 9, 10, EOS, NO_TARGET, NO_TARGET, NO_TARGET]


def test_shapes_of_packed_batches_recur():
    batches = [batch for update in take(make_stream(packed=True), 20) for batch in update.batches]
    assert {side.ids.shape for batch in batches for side in (batch.source, batch.target)} == {(64,)}
    sizes = {batch.source.num_sentences for batch in batches}
    assert sizes == {batch.target.num_sentences for batch in batches}
    assert sizes == {8, 16}, "powers of two"


@pytest.mark.parametrize("sentences", [1, 7, 100])
def test_padding_of_a_packed_batch_is_no_longer_than_its_sentences_and_has_keys(sentences):
    """Attention costs the square of a length, and its kernels take time for each sentence times the longest one."""
    random = np.random.default_rng(sentences)
    source, target = ([np.full(random.integers(5, 9), 5) for _ in range(sentences)] for _ in range(2))
    # three quarters of the source's positions are padding, and few of the target's
    target = [np.repeat(ids, 4) for ids in target]
    batch = pack_batch(source, target, tokens=33 * sentences + 16)
    queries, keys = (np.diff(side.offsets.numpy()) for side in (batch.target, batch.source))
    assert [queries.sum(), keys.sum()] == [33 * sentences + 16] * 2
    assert len(keys) == len(queries) < 4 * (sentences + 16)
    assert max(keys) <= 64
    assert batch.source.max_length < 2 * max(keys)
    assert np.all(keys[queries > 0] > 0)


@pytest.mark.parametrize("kind", [{}, GROUPED])
def test_an_epoch_holds_every_pair_once(kind):
    updates = epoch(make_stream(**kind))
    assert sorted(pairs_of(updates)) == list(range(60))
    assert updates[-1].after == DataPosition(epoch=1)
    assert updates[-1].epochs == 1.0


@pytest.mark.parametrize("kind", [{}, {"packed": True}, GROUPED])
def test_stream_can_start_within_an_epoch(kind):
    whole = take(make_stream(**kind), 25)
    rest = take(make_stream(**kind, start=whole[9].after), 15)
    assert pairs_of(rest) == pairs_of(whole[10:])
    assert [update.after for update in rest] == [update.after for update in whole[10:]]


def test_seeking_a_position_equals_starting_there():
    stream = make_stream()
    whole = [stream.next(0.0) for _ in range(12)]
    stream.seek(whole[3].after)
    assert pairs_of(take(stream, 8)) == pairs_of(whole[4:])


@pytest.mark.parametrize("kind", [{}, GROUPED])
@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_an_epoch_without_loss_or_overlap(size, kind):
    shares = [epoch(make_stream(world=World(rank, size), accumulation=2, **kind)) for rank in range(size)]
    assert sorted(pair for share in shares for pair in pairs_of(share)) == list(range(60))
    assert len({len(share) for share in shares}) == 1
    # each has a batch for every update, or the others would wait for it for ever
    assert all(update.batches for share in shares for update in share)


def test_accumulated_batches_are_one_update():
    single, double = take(make_stream(), 4), take(make_stream(accumulation=2), 2)
    assert pairs_of(double) == pairs_of(single)
    assert [len(update.batches) for update in double] == [2, 2]


def test_sampling_seed_of_a_batch_is_independent_of_earlier_batches():
    seeds = []

    def encode(indices, seed):
        seeds.append(seed)
        return look_up(indices, seed)

    whole = take(make_stream(encode=encode), 12)
    from_start = seeds[:12]
    seeds.clear()
    take(make_stream(encode=encode, start=whole[5].after), 3)
    assert seeds[:3] == from_start[6:9]
    assert len(set(from_start)) == 12


def has_drawn(update):
    return any((batch.source.ids == 9).any() for batch in update.batches)


def test_pairs_are_regrouped_by_the_lengths_that_were_drawn():
    def positions(**encoding):
        updates = epoch(make_stream(tokens=128, **encoding))
        return sum(update.batches[0].source.ids.numel() + update.batches[0].target.ids.numel() for update in updates)

    assert positions(sample=drawn_longer) < 0.9 * positions(encode=drawn_longer)


def test_a_group_is_drawn_once():
    drawn = []

    def sample(indices, seed):
        drawn.append(indices)
        return drawn_longer(indices, seed)

    stream = make_stream(sample=sample, tokens=10)
    groups = {batch.group.number: batch.group for batch in stream.plan(DataPosition())}
    size = len(epoch(stream))
    assert size > 8 * len(groups) - 8
    # the thread may have drawn groups of the next epoch in advance
    assert sorted(index for indices in drawn[: len(groups)] for index in indices) == list(range(60))


def test_an_error_in_the_thread_reaches_the_training_loop():
    def encode(indices, seed):
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        take(make_stream(encode=encode), 1)


def test_closing_the_stream_ends_its_thread():
    def encode(indices, seed):
        time.sleep(0.2)
        return look_up(indices, seed)

    take(make_stream(encode=encode), 1)
    assert not [thread for thread in threading.enumerate() if thread.name == "loader"]


def test_masks_are_true_for_real_tokens():
    batch = pad_batch([np.array([5]), np.array([6, 7, 8])], [np.array([8]), np.array([9])])
    assert torch.equal(batch.source.mask.sum(1), torch.tensor([2, 4]))


def test_phase_starts_with_a_new_epoch_of_its_corpora():
    early = follow(make_stream(), [0.0, 0.3, 0.49])
    assert [update.after for update in early] == [
        DataPosition(epoch=0, batches=1),
        DataPosition(epoch=0, batches=2),
        DataPosition(epoch=0, batches=3),
    ]
    stream = make_stream(start=early[-1].after)
    late = follow(stream, [0.5] * len(stream.plan(DataPosition(epoch=1, phase=1))))
    assert late[0].after == DataPosition(epoch=1, batches=1, phase=1)
    assert late[-1].after == DataPosition(epoch=2, batches=0, phase=1)
    assert sorted(pairs_of(late)) == list(range(30))
    assert len(late) < len(stream.plan(DataPosition(epoch=0)))


def test_a_phase_at_the_end_of_an_epoch_skips_none():
    first = epoch(make_stream())
    assert follow(make_stream(start=first[-1].after), [0.5])[0].after == DataPosition(epoch=1, batches=1, phase=1)


def test_sampling_starts_with_a_new_epoch():
    stream = make_stream(sampled_from=0.25)
    assert stream.phase_starts == [0.0, 0.25, 0.5]
    updates = follow(stream, [0.0, 0.24, 0.25, 0.5])
    assert [update.after for update in updates] == [
        DataPosition(epoch=0, batches=1),
        DataPosition(epoch=0, batches=2),
        DataPosition(epoch=1, batches=1, phase=1),
        DataPosition(epoch=2, batches=1, phase=2),
    ]
    assert [has_drawn(update) for update in updates] == [False, False, True, True]


def test_sampling_from_the_start_adds_no_phase():
    stream = make_stream(sampled_from=0.0)
    assert stream.phase_starts == [0.0, 0.5]
    assert all(map(has_drawn, take(stream, 3)))


@pytest.mark.parametrize(
    ("sampled_from", "fractions", "lines"),
    [
        (None, [0.4, 0.6], ["epoch 1 begins with another mix of corpora"]),
        (0.5, [0.4, 0.6], ["epoch 1 begins with another mix of corpora and sampled subwords"]),
        (0.3, [0.2, 0.4], ["epoch 1 begins with sampled subwords"]),
        (0.3, [0.2, 0.6], ["epoch 1 begins with another mix of corpora and sampled subwords"]),
        (0.3, [0.6, 0.7], ["epoch 0 begins with another mix of corpora and sampled subwords"]),
        (0.3, [0.1, 0.2], []),
    ],
)
def test_phase_changes_are_logged(sampled_from, fractions, lines, caplog):
    with caplog.at_level("INFO", logger="translate"):
        follow(make_stream(sampled_from=sampled_from), fractions)
    assert caplog.messages == lines


@pytest.mark.parametrize("sampled_from", [None, 0.3])
def test_run_resumed_within_a_phase_continues_it(sampled_from):
    fractions = [0.2, 0.4, 0.5, 0.6, 0.7]
    whole = follow(make_stream(sampled_from=sampled_from), fractions)
    for stop in range(1, len(fractions)):
        again = follow(make_stream(sampled_from=sampled_from, start=whole[stop - 1].after), fractions[stop:])
        assert pairs_of(again) == pairs_of(whole[stop:])
        assert [update.after for update in again] == [update.after for update in whole[stop:]]
