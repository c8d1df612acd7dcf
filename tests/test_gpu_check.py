"""Each stage of gpu_check passes on this machine, and fails when a fault is planted in what it checks."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch

from recorders import Repeating
from small_memory import SmallMemory
from translate.device import Capabilities, Precision, capabilities
from translate.gpu_check import (
    Check,
    GpuCheckConfig,
    Result,
    Skipped,
    StageName,
    decoding,
    failed_updates,
    kernels,
    relative_error,
    runs,
    updates,
)
from translate.models import attention
from translate.training import step
from translate.training.compute_config import FastPath
from translate.training.loss_scale import LossScale
from translate.training.state import TrainState
from translate.training.update_ways import recorded

CPU = torch.device("cpu")
HOPPER = Capabilities(on_gpu=True, compute_capability=(9, 0), bf16_matmul=True, fp16_matmul=True, flash_attention=True)
ENOUGH = "the batch fitted into 60% of the memory that it takes"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Fewer inputs of each kind."""
    monkeypatch.setattr(kernels, "WIDTHS", (32, 256))
    monkeypatch.setattr(kernels, "DRAWS", 32)
    monkeypatch.setattr(updates, "combinations", lambda: iter(COMBINATIONS))
    monkeypatch.setattr(decoding, "UPDATES", 20)
    monkeypatch.setattr(decoding, "SENTENCES", 20)
    monkeypatch.setattr(decoding, "ARCHITECTURES", ["transformer"])


COMBINATIONS = [
    ("transformer", {}),
    ("lstm", {"guided_attention": updates.AUXILIARY_LOSSES["guided_attention"][0]()}),
    ("convolutional", {"sim_cut": updates.AUXILIARY_LOSSES["sim_cut"][0]()}),
]


def check_in(folder, can=None) -> Check:
    return Check(GpuCheckConfig(threads=1), CPU, can or capabilities(CPU), 0, folder, Result(StageName.machine))


def findings_of(stage, folder, can=None) -> list[str]:
    check = check_in(folder, can)
    stage(check)
    return check.result.findings


def kinds(findings: list[str]) -> set[str]:
    """Kinds of errors among the findings: "fused, fp32, output (…): …" is of kind "fused, fp32, output"."""
    return {finding.partition(" (")[0].partition(":")[0] for finding in findings}


@pytest.mark.parametrize(
    "stage",
    [kernels.kernels, updates.packed, updates.updates, failed_updates.scaling, decoding.batches, runs.processes],
)
def test_a_stage_passes_and_says_what_a_cpu_cannot_check(stage, tmp_path):
    check = check_in(tmp_path)
    stage(check)
    assert check.result.findings == []
    assert check.result.figures
    if stage not in (failed_updates.scaling, decoding.batches):
        assert [gap for gap in check.result.unchecked if "no CUDA device" in gap]


@pytest.mark.parametrize("stage", [decoding.hypotheses, updates.fast_paths, failed_updates.memory])
def test_a_stage_for_gpus_is_skipped_on_a_cpu(stage, tmp_path):
    with pytest.raises(Skipped, match="no CUDA device"):
        stage(check_in(tmp_path))


def copy_as_it_lies(x: torch.Tensor) -> torch.Tensor:
    """A copy with the strides of the original, as page-locked memory gets it: an error for an expanded tensor."""
    return torch.empty_strided(x.size(), x.stride(), dtype=x.dtype).copy_(x)


@pytest.fixture
def like_a_gpu(monkeypatch):
    """Replace all that needs CUDA by functions that do nothing: the code for a GPU runs on the CPU."""
    calls: list[str] = []
    # a CPU's emulation of fp16 adds up in fp16
    monkeypatch.setattr(updates, "PACKED_ON_GPUS", [Precision.bf16])
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", calls.append)
    monkeypatch.setattr(torch.Tensor, "pin_memory", copy_as_it_lies)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda model, **options: None)
    monkeypatch.setitem(updates.CANDIDATES, "graphed", partial(recorded, recorder=Repeating()))
    return calls


@pytest.mark.parametrize(
    "stage",
    [kernels.kernels, updates.packed, updates.updates, failed_updates.scaling, updates.fast_paths, decoding.hypotheses],
)
def test_the_code_for_a_gpu_passes_where_its_device_is_the_cpu(stage, tmp_path, like_a_gpu):
    can = dataclasses.replace(HOPPER, fp16_matmul=False, bf16_matmul=False) if stage is decoding.hypotheses else HOPPER
    assert findings_of(stage, tmp_path, can) == []
    if stage is updates.updates:
        # not for LSTMs, which wait for the lengths of their sentences
        assert like_a_gpu == ["error", "default"] * 3


@pytest.mark.parametrize(("most", "findings"), [(40_000, []), (1 << 40, [ENOUGH])])
def test_an_update_in_parts_is_compared_with_the_whole_one(most, findings, tmp_path, monkeypatch, like_a_gpu):
    monkeypatch.setattr(failed_updates, "LARGE_MODEL", {"d_model": 64, "max_length": 24})
    monkeypatch.setattr(failed_updates, "LARGE_BATCH", 32)
    small = SmallMemory(most)
    for name, function in {
        "empty_cache": lambda: None,
        "max_memory_reserved": lambda: 10,
        "mem_get_info": lambda: (0, 100),
        "set_per_process_memory_fraction": lambda share: small.__enter__(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, function)
    check = check_in(tmp_path, HOPPER)
    try:
        failed_updates.memory(check)
    finally:
        small.__exit__(None, None, None)
    assert check.result.findings == findings
    assert bool(small.failures) is not bool(findings)
    assert check.result.figures.keys() == {"loss", "gradient"}


@pytest.mark.parametrize(
    ("owner", "name"), [(updates, "train_step"), (updates.RunningAverage, "update"), (step.PendingUpdate, "result")]
)
def test_each_wait_for_the_gpu_is_found(owner, name, tmp_path, monkeypatch, like_a_gpu):
    without_waiting = getattr(owner, name)

    def waits(*arguments, **settings):
        if like_a_gpu and like_a_gpu[-1] == "error":
            raise RuntimeError("called a synchronizing CUDA operation\nat some line")
        return without_waiting(*arguments, **settings)

    monkeypatch.setattr(owner, name, waits)
    findings = findings_of(updates.updates, tmp_path, HOPPER)
    assert "transformer: called a synchronizing CUDA operation" in findings
    assert "convolutional + sim_cut: called a synchronizing CUDA operation" in findings
    assert "transformer, packed: called a synchronizing CUDA operation" in findings
    assert like_a_gpu == ["error", "default"] * 3


def scaled(query, key, value, *rest, **settings):
    return reference(query * 1.05, key, value, *rest, **settings)


def without_gradient_of_values(query, key, value, *rest, **settings):
    return reference(query, key, value.detach() + 0 * value, *rest, **settings)


def one_key_too_many(query, key, value, bias, **settings):
    return reference(query, key, value, bias.roll(1, -1), **settings)


reference = attention.attend_reference


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (scaled, {"output", "gradient"}),
        (without_gradient_of_values, {"gradient"}),
        (one_key_too_many, {"output", "gradient"}),
    ],
)
def test_a_wrong_kernel_is_found_in_every_precision_and_no_other(fault, found, tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "attend_reference", fault)
    monkeypatch.setattr(kernels, "check_dropout", lambda check: None)
    assert kinds(findings_of(kernels.kernels, tmp_path)) == {
        f"{kernel}, {precision}, {quantity}"
        for kernel in ("weights", "sigmoid")
        for precision in ("fp32", "bf16", "fp16")
        for quantity in found
    }


def test_a_kernel_that_looks_into_the_next_packed_sentence_is_found(tmp_path, monkeypatch):
    packed = attention.attend_packed_reference

    def shifted(query, key, value, mask):
        return packed(query, key.roll(-1, 0), value.roll(-1, 0), mask)

    monkeypatch.setattr(attention, "attend_packed_reference", shifted)
    assert {kind.partition(",")[0] for kind in kinds(findings_of(kernels.kernels, tmp_path))} == {
        "packed",
        "packed long",
    }
    assert kinds(findings_of(updates.packed, tmp_path)) == {"fp32, gradient"}


def test_scores_of_empty_sentences_that_are_not_finite_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "mask_value", lambda dtype: -torch.inf)
    # PyTorch's kernel for CPUs gives such rows zeros
    assert {kind.partition(",")[0] for kind in kinds(findings_of(kernels.kernels, tmp_path))} >= {"weights"}


def test_weights_that_are_not_those_of_the_output_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "attend_reference", lambda *a, **k: (reference(*a, **k)[0], reference(*a)[1] * 1.01))
    assert "weights, returned weights" in kinds(findings_of(kernels.check_weights, tmp_path))


def test_dropout_that_lowers_the_mean_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "dropout", lambda x, rate: x * (torch.rand_like(x) >= rate))
    assert kinds(findings_of(kernels.check_dropout, tmp_path)) == {"dropout, mean square of the bias"}


def test_a_loss_that_is_too_large_is_found(tmp_path, monkeypatch):
    right = step.label_smoothed_cross_entropy

    def larger(*arguments, **settings):
        loss, plain = right(*arguments, **settings)
        return loss * 1.001, plain

    monkeypatch.setattr(step, "label_smoothed_cross_entropy", larger)
    assert {"fp32, loss", "fp32, gradient"} <= kinds(findings_of(updates.updates, tmp_path))


def test_a_gradient_that_is_dropped_is_found(tmp_path, monkeypatch):
    config, loss = updates.AUXILIARY_LOSSES["guided_attention"]
    # in training alone: plain_update has a table of its own
    monkeypatch.setattr(
        step, "AUXILIARY_LOSSES", {**step.AUXILIARY_LOSSES, "guided_attention": (config, detached(loss))}
    )
    assert kinds(findings_of(updates.updates, tmp_path)) >= {"fp32, gradient"}


def detached(loss):
    return lambda *arguments: loss(*arguments).detach()


def test_a_loss_scale_that_stays_after_an_overflow_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(LossScale, "update", lambda scale, found_inf: None)
    assert "transformer: an overflow changes the loss scale from 65,536 to 65,536" in findings_of(
        failed_updates.scaling, tmp_path
    )


def test_translations_that_depend_on_their_batch_are_found(tmp_path, monkeypatch):
    # padding that is attended to: the longer the batch's longest sentence, the more of it
    monkeypatch.setattr(attention, "mask_value", lambda dtype: 0.0)
    assert "fp32, changed hypotheses" in kinds(findings_of(decoding.batches, tmp_path))


def test_a_continued_run_that_has_lost_a_draw_is_found(tmp_path, monkeypatch):
    restore = TrainState.restore

    def restore_and_draw(state, saved, *, rank):
        restore(state, saved, rank=rank)
        torch.rand(1)

    monkeypatch.setattr(TrainState, "restore", restore_and_draw)
    [finding] = findings_of(runs.resume, tmp_path)
    assert finding.startswith("weights that differ: ")
    # on a GPU two runs differ, but less
    check = check_in(tmp_path, HOPPER)
    names = ("uninterrupted-eager", "killed-eager")
    expected, killed = (runs.final_weights(runs.run_of(check, name, FastPath.eager)) for name in names)
    assert relative_error(runs.flat(killed), runs.flat(expected)) > 1e-3


def test_two_processes_that_add_up_gradients_are_found(tmp_path, monkeypatch):
    right = step.train_step

    def without_factor(model, optimizer, batches, config, world, **settings):
        loss = step.label_smoothed_cross_entropy
        monkeypatch.setattr(
            step, "label_smoothed_cross_entropy", lambda *a, **k: tuple(x / world.size for x in loss(*a, **k))
        )
        return right(model, optimizer, batches, config, world, **settings)

    monkeypatch.setattr(updates, "train_step", without_factor)
    assert kinds(findings_of(runs.processes, tmp_path)) == {"loss", "gradient"}


@pytest.mark.parametrize(
    ("updates_made", "bleu", "passes"), [(2400, 95.8, True), (2400, 90.0, False), (700, 60.0, True)]
)
def test_the_bleu_that_is_expected_depends_on_the_updates(updates_made, bleu, passes, tmp_path):
    check = check_in(tmp_path)
    runs.compare_bleu(check, updates_made, bleu)
    assert (check.result.findings == []) is passes


def test_no_bleu_is_expected_of_a_few_updates(tmp_path):
    with pytest.raises(Skipped, match="100 updates in 5 min"):
        runs.compare_bleu(check_in(tmp_path), 100, 3.0)


def test_a_corpus_that_is_elsewhere_is_named(tmp_path):
    check = dataclasses.replace(check_in(tmp_path), config=GpuCheckConfig(corpus=str(tmp_path)))
    with pytest.raises(Skipped, match="name the repository's folder data/en-de as corpus="):
        runs.corpus(check)
