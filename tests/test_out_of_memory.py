"""Batches that do not fit into memory are computed in halves, and the update is that of the whole batch."""

import json

import numpy as np
import pytest
import torch
from test_update import assert_same, batches_of, make_model, step, without_labels

from forked_ranks import run_ranks
from small_memory import SmallMemory
from small_runs import ON_CPU, update_config, write_corpus
from stored_runs import FLAT, assert_identical, log_of, train_here
from translate.batch import pack_batch, pad_batch
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision
from translate.distributed import World, join_world
from translate.errors import UserError
from translate.losses import AUXILIARY_LOSSES
from translate.memory import is_out_of_memory
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.training.batch_memory import BatchMemory, halves_of
from translate.training.parallel import parallelize
from translate.training.step import train_step

ALONE = World()
WIDTH = 16  # of the models here: a batch of 8 sentences of 12 tokens has 1,536 numbers


def test_errors_of_allocators_are_recognised():
    for allocate in (lambda: torch.empty(1 << 52, dtype=torch.uint8), lambda: np.empty(1 << 52, np.uint8)):
        with pytest.raises((RuntimeError, MemoryError)) as error:
            allocate()
        assert is_out_of_memory(error.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."))
    assert is_out_of_memory(ImportError("libtorch_cpu.so: failed to map segment from shared object"))
    assert not is_out_of_memory(ImportError("No module named 'x'"))
    assert is_out_of_memory(RuntimeError("can't start new thread"))
    assert not is_out_of_memory(RuntimeError("shape '[2]' is invalid for input of size 3"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("backward", [False, True])
def test_an_update_in_parts_equals_that_of_the_whole_batch(backward):
    with SmallMemory(60 * WIDTH, backward=backward) as memory:
        found = step(batches_of(8))
    assert memory.failures
    assert found[0].divided > 0
    assert_same(found, step(batches_of(8)))


@pytest.mark.parametrize("name", AUXILIARY_LOSSES)
def test_auxiliary_losses_of_the_parts_add_up(name):
    auxiliary = {name: AUXILIARY_LOSSES[name][0].tiny()}
    torch.manual_seed(0)
    with SmallMemory(60 * WIDTH) as memory:
        found = step(batches_of(8), **auxiliary)
    assert memory.failures
    if name != "sim_cut":  # which draws the tokens that it cuts
        expected = step(batches_of(8), **auxiliary)
        assert_same(found, expected)
        assert found[0].auxiliary == pytest.approx(expected[0].auxiliary, rel=1e-4, abs=1e-5)


def random_batch(seed, *, sentences=8):
    random = np.random.default_rng(seed)
    source = [random.integers(4, 40, random.integers(1, 12)) for _ in range(sentences)]
    return pad_batch(source, [ids[::-1] for ids in source])


def trained(batches, *, too_large=(), most=1 << 40):
    """Weights and random state after some updates with dropout; and the model."""
    torch.manual_seed(0)
    config = ARCHITECTURES["transformer"][0].tiny(d_model=WIDTH, max_length=20, dropout=0.3)
    model = parallelize(build_model(config, Vocabularies(40, 40, shared=True)), ALONE, ON_CPU)
    optimizer = torch.optim.AdamW(model.module.parameters(), fused=True)
    train_step(model, optimizer, [random_batch(9)], update_config(), ALONE, step=1)  # makes the pool of dropout masks
    model.memory.too_large = list(too_large)
    with SmallMemory(most):
        for number, batch in enumerate(batches, start=2):
            train_step(model, optimizer, batch, update_config(), ALONE, step=number)
    return [*model.module.parameters(), torch.get_rng_state()], model


def test_a_repeated_update_draws_the_same_numbers():
    """As if it had been known from the start which batches are too large."""
    batches = [[random_batch(0), random_batch(1)]]
    found, model = trained(batches, most=60 * WIDTH)
    assert model.memory.too_large
    expected, _ = trained(batches, too_large=model.memory.too_large)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    whole, _ = trained(batches)
    assert not torch.equal(found[0], whole[0])


def test_sizes_are_compared_in_every_dimension():
    memory = BatchMemory()
    few_long, many_short = pad_batch([[5] * 20] * 2, [[6] * 20] * 2), pad_batch([[5] * 2] * 20, [[6] * 2] * 20)
    memory.note_too_large(few_long, exchanging=False)
    assert len(memory.parts([few_long, many_short])) == 3
    longer = pad_batch([[5] * 30] * 4, [[6] * 30] * 4)
    assert [len(part.source.ids) for part in memory.parts([longer])] == [1, 1, 1, 1]


def test_a_single_pair_that_does_not_fit_is_an_error():
    with pytest.raises(UserError, match=r"out of memory: a single pair of up to \d+ source and \d+ target tokens"):  # noqa: SIM117
        with SmallMemory(1):
            step(batches_of(8))


def test_an_error_of_another_kind_is_not_a_matter_of_memory(monkeypatch):
    config, _ = AUXILIARY_LOSSES["guided_attention"]

    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setitem(AUXILIARY_LOSSES, "guided_attention", (config, fail))
    with pytest.raises(RuntimeError, match="a bug"):
        step(batches_of(8), guided_attention=config())


@pytest.mark.parametrize("packed", [False, True])
def test_halves_hold_the_sentences_in_order(packed):
    source, target = [[5] * n for n in (3, 1, 7, 2, 4)], [[6] * n for n in (2, 8, 1, 1, 3)]
    batch = pack_batch(source, target, 64) if packed else pad_batch(source, target, 8)
    first, second = halves_of(batch)
    for half, piece in ((first, slice(2)), (second, slice(2, None))):
        expected = pack_batch(source[piece], target[piece], 32) if packed else pad_batch(source[piece], target[piece])
        assert half.shape == expected.shape
        for name in ("source", "target"):
            assert torch.equal(getattr(half, name).ids, getattr(expected, name).ids)
            assert torch.equal(getattr(half, name).positions, getattr(expected, name).positions)
        assert torch.equal(half.labels, expected.labels)
        assert half.num_target_tokens == expected.num_target_tokens
    assert all(half.num_target_tokens == 0 for half in halves_of(without_labels(batch)))
    assert [len(halves_of(half)) for half in halves_of(first)] == [1, 1]


def updates_of(rank, *, most, backward):
    """Weights after three updates by two processes, the second of which has little memory."""
    with join_world(torch.device("cpu")) as world:
        model = make_model(world)
        optimizer = torch.optim.SGD(model.module.parameters(), lr=0.1, fused=True)
        with SmallMemory(most if rank == 1 else 1 << 40, backward=backward) as memory:
            for number in range(1, 4):
                batches = [random_batch(10 * number + 2 * rank), random_batch(10 * number + 2 * rank + 1)]
                result = train_step(model, optimizer, batches, update_config(), world, step=number).result()
        world.wait()
        return result, {name: x.detach() for name, x in model.module.named_parameters()}, memory.failures


@pytest.mark.parametrize("backward", [False, True])
def test_a_process_out_of_memory_starts_over_while_the_other_waits(backward):
    found = run_ranks(2, lambda rank: updates_of(rank, most=60 * WIDTH, backward=backward))
    expected = run_ranks(2, lambda rank: updates_of(rank, most=1 << 40, backward=backward))
    assert [ranks[2] > 0 for ranks in found] == [False, True]
    assert [ranks[0].divided > 0 for ranks in found] == [True, True], "counted on every process"
    for one, other in zip(found, expected, strict=True):
        assert_same(one[:2], other[:2])
    for name, weight in found[0][1].items():
        assert torch.equal(weight, found[1][1][name])


def test_memory_that_fails_while_gradients_are_exchanged_is_an_error():
    with pytest.raises(UserError, match=r"although one as large has fitted before.*batch\.tokens"):
        BatchMemory().note_too_large(random_batch(0), exchanging=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=200)


def test_a_continued_run_halves_the_same_batches(corpus, tmp_path):
    failures = {}
    for folder, bounds in ((tmp_path / "whole", [8]), (tmp_path / "parts", [3, 8])):
        for steps in bounds:
            # a batch of 256 tokens has 256 * 32 numbers
            with SmallMemory(150 * 32) as memory:
                train_here(corpus, folder, **FLAT, run__save_every=3, run__max_steps=steps)
            failures.setdefault(folder.name, []).append(memory.failures)
    assert_identical(tmp_path / "whole", tmp_path / "parts")
    assert failures["parts"][0] > 0
    assert sum(failures["parts"]) == sum(failures["whole"]), "what the first session has found is known to the second"
    log = log_of(tmp_path / "whole")
    assert "out of memory with a batch of" in log
    assert "(batch.tokens=256)" in log
    progress = json.loads((tmp_path / "whole" / "state" / "step-00000008" / "progress.json").read_text())
    assert f"updates with batches in halves: {progress['divided']}" in log


def test_decoding_goes_on_with_smaller_batches(caplog):
    torch.manual_seed(0)
    config = ARCHITECTURES["transformer"][0].tiny(d_model=WIDTH, max_length=20)
    model = build_model(config, Vocabularies(40, 40, shared=True)).eval()
    engine = NativeEngine(model=model, device=torch.device("cpu"), precision=Precision.fp32, workers=1)
    sentences = [tuple(range(4, 4 + length)) for length in range(1, 17)]
    expected = engine.search(sentences, SearchConfig(beam_size=2))
    with SmallMemory(100 * WIDTH, decoding=True) as memory:
        found = engine.search(sentences, SearchConfig(beam_size=2))
    assert memory.failures
    assert engine.batch_tokens < 1024
    assert "batches of 64 tokens now (batch_tokens)" in caplog.text
    assert [x[0].tokens for x in found] == [x[0].tokens for x in expected]
