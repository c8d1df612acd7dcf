"""The loader: what an update holds, whose it is, and that it can start anywhere."""

import threading
import time
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pytest
import torch

from translate.batch import NO_TARGET, pack_batch, pad_batch
from translate.data.batching import BatchConfig
from translate.data.loader import Curriculum, Encoding, Loader, Place
from translate.distributed import World
from translate.special_tokens import BOS, EOS


@dataclass
class Pairs:
    """Pair i has i as its first source token, so that batches can be told apart."""

    source: list = field(default_factory=lambda: [np.array([100 + i] + [7] * (i % 9)) for i in range(60)])
    target: list = field(default_factory=lambda: [np.array([200 + i] + [8] * (i % 5)) for i in range(60)])

    @property
    def source_lengths(self):
        return np.array([len(ids) for ids in self.source], dtype=np.int32)

    @property
    def target_lengths(self):
        return np.array([len(ids) for ids in self.target], dtype=np.int32)

    phase_starts = (0.0, 0.5)

    def repeats(self, share):
        """The second half of the pairs takes part in the first half of the run only."""
        numbers = np.arange(len(self.source))
        return np.where((share < 0.5) | (numbers < len(numbers) // 2), 1.0, 0.0).astype(np.float32)

    def encode(self, indices, seed):
        return [self.source[i] for i in indices], [self.target[i] for i in indices]


ALONE = World()


def make_loader(*, world=ALONE, accumulation=1, packed=False, regrouped=False, encode=None, sampled_from=None):
    pairs = Pairs()
    config = BatchConfig(tokens=64, accumulation=accumulation, sentence_multiple=1)
    encodings = [Encoding(encode or pairs.encode, lengths_vary=regrouped)]
    if sampled_from is not None:
        encodings.append(Encoding(drawn_longer, lengths_vary=True, start=sampled_from))
    return Loader(pairs, encodings, config, seed=1, packed=packed, world=world)


def take(loader, place, count):
    updates = loader.updates(place)
    try:
        return list(islice(updates, count))
    finally:
        updates.close()


def pairs_of(updates):
    """The numbers of the pairs in real (labelled) batches."""
    return [
        int(token) - 100
        for update in updates
        for batch in update.batches
        if batch.num_target_tokens
        for token in batch.source.ids.flatten()
        if 100 <= token < 200
    ]


def test_the_source_ends_with_eos_and_the_labels_are_the_target_shifted():
    batch = pad_batch([np.array([5, 6]), np.array([7])], [np.array([8]), np.array([9, 10])])
    assert batch.source.ids.tolist() == [[5, 6, EOS], [7, EOS, 0]]
    assert batch.target.ids.tolist() == [[BOS, 8, 0], [BOS, 9, 10]]
    assert batch.labels.tolist() == [[8, EOS, NO_TARGET], [9, 10, EOS]]
    assert (batch.num_target_tokens, batch.num_source_tokens) == (5, 5)


def test_a_packed_batch_holds_the_same_end_to_end():
    batch = pack_batch([np.array([5, 6]), np.array([7])], [np.array([8]), np.array([9, 10])], tokens=8)
    assert batch.source.ids.tolist() == [5, 6, EOS, 7, EOS, 0, 0, 0]
    assert batch.source.positions.tolist() == [0, 1, 2, 0, 1, 0, 0, 0]
    assert batch.source.offsets.tolist() == [0, 3, 5, 8, 8, 8, 8]
    assert batch.target.ids.tolist() == [BOS, 8, BOS, 9, 10, 0, 0, 0]
    assert batch.labels.tolist() == [8, EOS, 9, 10, EOS, NO_TARGET, NO_TARGET, NO_TARGET]


def test_packed_batches_all_have_one_shape():
    shapes = {
        (batch.source.ids.shape, batch.source.offsets.shape, batch.target.ids.shape, batch.target.offsets.shape)
        for update in take(make_loader(packed=True), Place(), 20)
        for batch in update.batches
    }
    assert len(shapes) == 1


@pytest.mark.parametrize("regrouped", [False, True])
def test_an_epoch_holds_every_pair_once(regrouped):
    loader = make_loader(regrouped=regrouped)
    updates = take(loader, Place(), len(loader.plan(0)))
    assert sorted(pairs_of(updates)) == list(range(60))
    assert updates[-1].after == Place(epoch=1)
    assert updates[-1].epochs == 1.0


@pytest.mark.parametrize("kind", [{}, {"packed": True}, {"regrouped": True}])
def test_it_can_start_in_the_middle_of_an_epoch(kind):
    loader = make_loader(**kind)
    whole = take(loader, Place(), 25)
    rest = take(loader, whole[9].after, 15)
    assert pairs_of(rest) == pairs_of(whole[10:])
    assert [update.after for update in rest] == [update.after for update in whole[10:]]


@pytest.mark.parametrize("regrouped", [False, True])
@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_an_epoch_without_loss_or_overlap(size, regrouped):
    shares = []
    for rank in range(size):
        loader = make_loader(world=World(rank, size), accumulation=2, regrouped=regrouped)
        updates = -(-len(loader.plan(0)) // (2 * size))
        shares.append(take(loader, Place(), updates))
    assert sorted(pair for share in shares for pair in pairs_of(share)) == list(range(60))
    # each has a batch for every update, or the others would wait for it for ever
    assert all(update.batches for share in shares for update in share)


def test_accumulated_batches_are_one_update():
    single, double = take(make_loader(), Place(), 4), take(make_loader(accumulation=2), Place(), 2)
    assert pairs_of(double) == pairs_of(single)
    assert [len(update.batches) for update in double] == [2, 2]


def test_each_batch_has_its_own_seed_for_sampling_whatever_came_before():
    seeds = []

    def encode(indices, seed):
        seeds.append(seed)
        return Pairs().encode(indices, seed)

    whole = take(make_loader(encode=encode), Place(), 12)
    from_start = seeds[:12]
    seeds.clear()
    take(make_loader(encode=encode), whole[5].after, 3)
    assert seeds[:3] == from_start[6:9]
    assert len(set(from_start)) == 12


def drawn_longer(indices, seed):
    """As subword sampling makes them: by up to as much again."""
    random = np.random.default_rng(seed)
    return tuple(
        [np.append(ids, np.full(random.integers(len(ids) + 1), 9)) for ids in side]
        for side in Pairs().encode(indices, seed)
    )


def has_drawn(update):
    return any((batch.source.ids == 9).any() for batch in update.batches)


def test_pairs_are_regrouped_by_the_lengths_that_were_drawn():
    def places(regrouped):
        loader = make_loader(encode=drawn_longer, regrouped=regrouped)
        loader.config = BatchConfig(tokens=128)
        updates = take(loader, Place(), len(loader.plan(0)))
        return sum(update.batches[0].source.ids.numel() + update.batches[0].target.ids.numel() for update in updates)

    assert places(regrouped=True) < 0.9 * places(regrouped=False)


def test_a_group_is_drawn_once():
    drawn = []

    def encode(indices, seed):
        drawn.extend(indices)
        return drawn_longer(indices, seed)

    loader = make_loader(encode=encode, regrouped=True)
    assert len(list(islice(loader._updates(Place()), len(loader.plan(0)))))
    assert sorted(drawn) == list(range(60))


def test_an_error_in_the_thread_reaches_the_training_loop():
    def encode(indices, seed):
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        take(make_loader(encode=encode), Place(), 1)


def test_no_thread_is_left_at_work_when_updates_are_closed():
    def encode(indices, seed):
        time.sleep(0.2)
        return Pairs().encode(indices, seed)

    take(make_loader(encode=encode), Place(), 1)
    assert not [thread for thread in threading.enumerate() if thread.name == "loader"]


def test_masks_tell_real_tokens():
    batch = pad_batch([np.array([5]), np.array([6, 7, 8])], [np.array([8]), np.array([9])])
    assert torch.equal(batch.source.mask.sum(1), torch.tensor([2, 4]))


def follow(curriculum, shares):
    try:
        return [curriculum.next(share) for share in shares]
    finally:
        curriculum.close()


def test_a_phase_begins_with_an_epoch_of_its_own_corpora():
    loader = make_loader()
    epoch = len(loader.plan(0))
    early = follow(Curriculum(loader, Place()), [0.0, 0.3, 0.49])
    assert [update.after for update in early] == [Place(0, 1), Place(0, 2), Place(0, 3)]
    late = follow(Curriculum(loader, early[-1].after), [0.5] * len(loader.plan(1, phase=1)))
    assert late[0].after == Place(1, 1, phase=1)
    assert late[-1].after == Place(2, 0, phase=1)
    assert sorted(pairs_of(late)) == list(range(30))
    assert len(late) < epoch


def test_a_phase_at_the_end_of_an_epoch_skips_none():
    loader = make_loader()
    first = follow(Curriculum(loader, Place()), [0.0] * len(loader.plan(0)))
    assert follow(Curriculum(loader, first[-1].after), [0.5])[0].after == Place(1, 1, phase=1)


def test_sampling_begins_with_an_epoch_of_its_own():
    loader = make_loader(sampled_from=0.25)
    assert loader.phase_starts == [0.0, 0.25, 0.5]
    updates = follow(Curriculum(loader, Place()), [0.0, 0.24, 0.25, 0.5])
    assert [update.after for update in updates] == [Place(0, 1), Place(0, 2), Place(1, 1, 1), Place(2, 1, 2)]
    assert [has_drawn(update) for update in updates] == [False, False, True, True]


def test_sampling_from_the_beginning_is_no_phase_of_its_own():
    loader = make_loader(sampled_from=0.0)
    assert loader.phase_starts == [0.0, 0.5]
    assert all(map(has_drawn, take(loader, Place(), 3)))


@pytest.mark.parametrize(
    ("sampled_from", "shares", "news"),
    [
        (None, [0.4, 0.6], ["epoch 1: from here on another mix of corpora"]),
        (0.5, [0.4, 0.6], ["epoch 1: from here on another mix of corpora and subwords drawn anew"]),
        (0.3, [0.2, 0.4], ["epoch 1: from here on subwords drawn anew"]),
        (0.3, [0.2, 0.6], ["epoch 1: from here on another mix of corpora and subwords drawn anew"]),
        (0.3, [0.6, 0.7], ["epoch 0: from here on another mix of corpora and subwords drawn anew"]),
        (0.3, [0.1, 0.2], []),
    ],
)
def test_the_log_tells_what_a_phase_brings(sampled_from, shares, news, caplog):
    with caplog.at_level("INFO", logger="translate"):
        follow(Curriculum(make_loader(sampled_from=sampled_from), Place()), shares)
    assert caplog.messages == news


@pytest.mark.parametrize("sampled_from", [None, 0.3])
def test_a_run_resumed_within_a_phase_stays_in_it(sampled_from):
    shares = [0.2, 0.4, 0.5, 0.6, 0.7]
    whole = follow(Curriculum(make_loader(sampled_from=sampled_from), Place()), shares)
    for stop in range(1, len(shares)):
        again = follow(Curriculum(make_loader(sampled_from=sampled_from), whole[stop - 1].after), shares[stop:])
        assert pairs_of(again) == pairs_of(whole[stop:])
        assert [update.after for update in again] == [update.after for update in whole[stop:]]
