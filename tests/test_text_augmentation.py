"""Augmentation of the text of training pairs: shares, plans, ids, and that a stream repeats them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from small_data import SOURCE, TARGET, TOKENIZER, WORDS, make_data, write_pairs
from translate.data.augmentation.pair_encoder import PairEncoder, SamplingConfig
from translate.data.augmentation.text import KINDS, NONE, AugmentationConfig, TextAugmentation, make_text_augmentation
from translate.data.batching import BatchConfig, BatchPlan, padding_share, pairs_in
from translate.data.loader import DataPosition, UpdateStream
from translate.data.prepare import Prepared, prepare
from translate.distributed import World
from translate.errors import UserError

COUNT = 6000  # pairs of which shares are counted
MIXED = {
    "capitals": 0.1,
    "title_case": 0.1,
    "punctuation": 0.1,
    "typos": 0.1,
    "emoji": 0.1,
    "joined": 0.2,
    "clauses": 0.2,
}
MOST = 60
ALONE = World()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    data = make_data(tmp_path_factory.mktemp("data"), SOURCE, [f"{line.title()[:-1]}." for line in SOURCE])
    return prepare(data, TOKENIZER)


def augmentation(prepared: Prepared, *, max_tokens: int = MOST, **shares: float) -> TextAugmentation:
    return TextAugmentation(
        prepared.train, prepared.tokenizer, AugmentationConfig(**shares), max_tokens=max_tokens, languages=("en", "de")
    )


def encoder(prepared: Prepared, *, sampling: float = 0.0, max_length: int = MOST, **shares: float) -> PairEncoder:
    return PairEncoder(
        prepared.train,
        prepared.tokenizer,
        sampling=SamplingConfig(source=sampling, target=sampling),
        augmentation=augmentation(prepared, **shares) if shares else None,
        max_length=max_length,
    )


def draw(prepared: Prepared, seed: int = 1, **shares: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of COUNT pairs and their expected sizes, (R, 2)."""
    pairs = np.arange(COUNT) % len(prepared.train)
    lengths = prepared.train.source_lengths[pairs], prepared.train.target_lengths[pairs]
    rows, sizes = augmentation(prepared, **shares).draw(pairs, lengths, np.random.default_rng(seed))
    return rows, np.stack(sizes, axis=1)


def stream(prepared: Prepared, *, start=None, world=ALONE, packed=False, start_share=None, **shares) -> UpdateStream:
    config = BatchConfig(tokens=256, sentence_multiple=1)
    shares |= {} if start_share is None else {"start": start_share}
    return UpdateStream(
        prepared.train, encoder(prepared, **shares), config, seed=3, world=world, packed=packed, start=start
    )


def ids_of(updates) -> list[list[list[int]]]:
    return [
        [side.ids.tolist() for batch in update.batches for side in (batch.source, batch.target)] for update in updates
    ]


def take(updates: UpdateStream, count: int):
    with updates:
        return [updates.next(0.0) for _ in range(count)]


def within(count: int, share: float, of: int) -> bool:
    """True if a count is within 4.5 standard errors of its expectation."""
    return abs(count - share * of) <= 4.5 * math.sqrt(of * share * (1 - share))


def test_each_kind_changes_its_share_of_the_pairs(prepared):
    rows, _ = draw(prepared, **MIXED)
    counts = np.bincount(rows[:, 2] + 1, minlength=len(KINDS) + 1)[1:]
    for kind, share in MIXED.items():
        # a joined row is of two pairs
        assert within(counts[KINDS.index(kind)] * (2 if kind in ("joined", "clauses") else 1), share, COUNT), kind
    assert within((rows[:, 2] == NONE).sum(), 0.1, COUNT)


def test_every_pair_of_the_epoch_is_in_one_row(prepared):
    rows, _ = draw(prepared, joined=0.5, clauses=0.3)
    assert sorted(pairs_in(rows)) == sorted(np.arange(COUNT) % len(prepared.train))
    assert np.all((rows[:, 1] == NONE) == (rows[:, 2] == NONE))
    assert not np.any(rows[:, 0] == rows[:, 1])


def test_joined_pairs_are_of_one_corpus_and_within_the_limit(tmp_path):
    data = make_data(tmp_path, SOURCE[:200], TARGET[:200])
    data.additional = [write_pairs(tmp_path / "more", SOURCE[200:], TARGET[200:])]
    data.additional[0].tag = "<2xx>"
    prepared = prepare(data, TOKENIZER)
    rows, sizes = draw(prepared, joined=1.0, max_tokens=40)
    joined = rows[:, 1] != NONE
    assert joined.sum() > COUNT / 5
    assert sizes[joined].max() <= 40
    assert np.array_equal(prepared.train.corpora(rows[joined, 0]), prepared.train.corpora(rows[joined, 1]))
    # the second pair's tag is no text of the joined one
    tag = prepared.tokenizer.encode_source(["<2xx> a"])[0][0]
    source, target = encoder(prepared, joined=1.0).encode(rows[:200], 1, 0.0)
    tags = [ids.tolist().count(tag) for ids in source]
    assert tags == prepared.train.corpora(rows[:200, 0]).tolist()
    assert all(ids[0] == tag for ids, count in zip(source, tags, strict=True) if count)
    found = np.array([[len(ids) for ids in side] for side in (source, target)]).T
    assert np.abs(found - sizes[:200]).max() <= 1, "a joined pair has one tag"


def test_expected_lengths_are_those_of_the_changed_text(prepared):
    for kind in ("capitals", "typos", "clauses"):
        rows, sizes = draw(prepared, **{kind: 1.0})
        found = encoder(prepared, max_length=500, **{kind: 1.0}).encode(rows[:400], 1, 0.0)
        lengths = np.array([[len(ids) for ids in side] for side in found]).T
        assert lengths.sum(0) / sizes[:400].sum(0) == pytest.approx([1, 1], abs=0.05), kind
    capitals = draw(prepared, capitals=1.0)[1].sum(0)
    assert capitals[0] > 1.5 * prepared.train.source_lengths[np.arange(COUNT) % 400].sum()


def test_changed_text_that_is_too_long_is_replaced_by_the_stored_pair(prepared):
    longest = int(max(prepared.train.source_lengths.max(), prepared.train.target_lengths.max()))
    rows, _ = draw(prepared, capitals=1.0)
    for sampling in (0.0, 0.05):
        source, target = encoder(prepared, capitals=1.0, sampling=sampling, max_length=longest).encode(
            rows[:400], 1, 0.0
        )
        assert max(map(len, [*source, *target])) <= longest
    stored = prepared.train.pairs(rows[:400, 0])
    source, target = encoder(prepared, capitals=1.0, max_length=longest).encode(rows[:400], 1, 0.0)
    same = [
        [np.array_equal(*ids) for ids in zip(*sides, strict=True)]
        for sides in ((source, stored[0]), (target, stored[1]))
    ]
    assert 0 < sum(same[0]) < 400
    assert np.array_equal(same[0], same[1]), "both sides or none"


def test_shares_of_zero_leave_the_stream_as_it_is(prepared):
    assert make_text_augmentation(
        AugmentationConfig(), prepared.train, prepared.tokenizer, max_tokens=60, languages=("", "")
    ) is None  # fmt: skip
    plain = take(stream(prepared), 30)
    unchanged = stream(prepared)
    assert unchanged.plan(DataPosition())[0].group is None
    assert ids_of(take(unchanged, 30)) == ids_of(plain)


@pytest.mark.parametrize("kind", [{}, {"packed": True}, {"sampling": 0.2}])
def test_stream_that_starts_within_an_epoch_repeats_the_changed_pairs(prepared, kind):
    whole = take(stream(prepared, **kind, **MIXED), 60)
    assert whole[-1].after.epoch, "more than an epoch"
    assert ids_of(take(stream(prepared, **kind, **MIXED), 60)) == ids_of(whole)
    assert ids_of(take(stream(prepared, start=whole[20].after, **kind, **MIXED), 39)) == ids_of(whole[21:])
    first, second = (stream(prepared, **kind, **MIXED).plan(DataPosition(epoch=epoch)) for epoch in (0, 1))
    assert {tuple(row) for batch in first for row in batch.pairs} != {
        tuple(row) for batch in second for row in batch.pairs
    }


@pytest.mark.parametrize("packed", [False, True])
def test_two_processes_see_the_batches_of_one(prepared, packed):
    alone = [ids for update in ids_of(take(stream(prepared, packed=packed, **MIXED), 20)) for ids in [update]]
    ranks = [ids_of(take(stream(prepared, packed=packed, world=World(rank, 2), **MIXED), 10)) for rank in range(2)]
    assert [update for pair in zip(*ranks, strict=True) for update in pair] == alone


def test_batches_keep_their_budget_where_lengths_grow(prepared):
    """A batch of pairs in capitals has fewer of them, as it is planned with their lengths."""

    def sizes(**shares: float) -> np.ndarray:
        with stream(prepared, **shares) as updates:
            count = len(updates.plan(DataPosition()))
            batches = [updates.next(0.0).batches[0] for _ in range(count)]
        return np.array([max(batch.source.ids.numel(), batch.target.ids.numel()) for batch in batches])

    capitals = sizes(capitals=0.3)
    assert np.median(capitals) > 0.6 * 256
    assert capitals.max() <= 1.5 * 256
    assert sizes(joined=0.5).max() <= 1.2 * 256


def test_the_plan_without_augmentation_has_pairs_and_with_it_rows(prepared):
    lengths = prepared.train.source_lengths, prepared.train.target_lengths
    repeats = np.ones(len(prepared.train), np.float32)
    plan = BatchPlan(BatchConfig(tokens=256))
    rows = plan.epoch(lengths, repeats, seed=1, epoch=0, augmentation=augmentation(prepared, joined=0.5))
    assert {batch.pairs.shape[1:] for batch in rows} == {(3,)}
    assert 0 < padding_share(rows, lengths) < 0.3
    assert {batch.pairs.shape[1:] for batch in plan.epoch(lengths, repeats, seed=1, epoch=0)} == {()}


@pytest.mark.parametrize("packed", [False, True])
def test_a_late_start_changes_pairs_from_an_epoch_of_its_own_on(prepared, packed):
    with (
        stream(prepared, packed=packed, start_share=0.5, **MIXED) as late,
        stream(prepared, packed=packed) as plain,
        stream(prepared, packed=packed, start=DataPosition(epoch=1), **MIXED) as changed,
    ):
        assert late.phase_starts == [0.0, 0.5]
        assert ids_of([late.next(0.0), late.next(0.49)]) == ids_of([plain.next(0.0), plain.next(0.49)])
        update = late.next(0.5)
        assert update.position == DataPosition(epoch=1, phase=1)
        assert ids_of([update]) == ids_of([changed.next(0.5)])
        assert late.describe_phase(update.position, before=0) == "epoch 1 begins with changed text"


def test_pairs_of_an_update_are_those_that_it_was_made_of(prepared):
    with stream(prepared, **MIXED) as updates:
        found = [pair for number in range(len(updates.plan(DataPosition()))) for pair in
                 np.concatenate(updates.pairs(DataPosition(batches=number)))]  # fmt: skip
    assert sorted(found) == list(range(len(prepared.train)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"typos": 1.5}, "augmentation.typos (1.5) must be at least 0 and at most 1"),
        ({"typos": 0.6, "joined": 0.6}, "the shares of augmentation.* must add up to at most 1; found 1.2"),
        ({"synonyms": 0.1}, "augmentation.synonyms needs augmentation.synonyms_file=FILE"),
        ({"synonyms": 0.1, "synonyms_file": "/nowhere"}, "/nowhere: no such file"),
        ({"start": 1.5}, "augmentation.start (1.5) must be at least 0"),
        ({"typo_rate": -1}, "augmentation.typo_rate (-1) must be at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError) as error:
        AugmentationConfig(**settings).check()
    assert message in str(error.value)


def test_synonyms_of_a_file_reach_the_batch(prepared, tmp_path: Path):
    table = tmp_path / "synonyms.tsv"
    table.write_text("".join(f"{word}\tzetzet\n" for word in WORDS), encoding="utf-8")
    config = AugmentationConfig(synonyms=1.0, synonyms_file=str(table))
    changed = TextAugmentation(prepared.train, prepared.tokenizer, config, max_tokens=MOST)
    rows = np.array([[number, NONE, KINDS.index("synonyms")] for number in range(50)])
    source, target = changed.texts(rows, seed=1)
    assert all("zetzet" in text.lower() for text in source)
    assert target == prepared.train.texts(rows[:, 0])[1]
