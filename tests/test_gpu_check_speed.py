"""The stages of gpu_check that measure: rows for what this machine can, names for the rest."""

import dataclasses
import os
import re
import signal
import time
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_gpu_check import check_in
from torch.autograd import DeviceType

from translate.device import Precision
from translate.gpu_check import Skipped, speed, timing
from translate.gpu_check.children import in_ranks
from translate.gpu_check.peers import PEERS, of_similar_lengths, plain_updates
from translate.gpu_check.report import section, summary
from translate.gpu_check.timing import Speed
from translate.gpu_check.updates import example_batch
from translate.models import Vocabularies, build_model
from translate.models.transformer_config import Activation, TransformerConfig
from translate.training.update_ways import CANDIDATES, COMPILED


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS_ON_CPU", 0.01)
    monkeypatch.setattr(timing, "VOCABULARY", 200)
    monkeypatch.setattr(timing, "BATCHES", 1)
    monkeypatch.setattr(timing, "PROFILED", 1)
    monkeypatch.setattr(speed, "TOKENS_ON_CPU", (128,))
    monkeypatch.setattr(speed, "VOCABULARY", 200)
    monkeypatch.setattr(speed, "products", lambda *_: 1e11)


def test_training_is_measured_beside_the_ceiling(tmp_path):
    check = check_in(tmp_path)
    speed.training_speed(check)
    *others, row = check.result.table
    assert row["training"] == "tiny, 128 tokens, eager"
    names = ["torch.nn.Transformer", "Hugging Face Marian"]
    assert [other["training"] for other in others] == [f"tiny, 128 tokens, {name}" for name in names]
    assert all(other.keys() == row.keys() for other in others)
    assert float(row["tokens/s"].replace(",", "")) > 0
    assert re.fullmatch(r"\d+%", row["of ceiling"])
    assert "products" in row["share of time"]
    assert any("no CUDA device" in gap for gap in check.result.unchecked)
    assert check.result.facts == {"ceiling": "0.10 TFLOP/s, products in fp32"}
    assert re.fullmatch(r"tiny, 128 tokens, eager: tokens/s [\d,]+, ms an update [\d.]+", summary(check.result))
    assert any("| tiny, 128 tokens, eager " in part for part in section(check.result))


def test_two_processes_are_measured_beside_one(tmp_path):
    check = check_in(tmp_path)
    speed.parallel_speed(check)
    assert check.result.findings == []
    alone, pair = check.result.table
    assert alone["data-parallel training"] == "tiny, 128 tokens a process, eager, 1 process"
    assert pair["data-parallel training"] == "tiny, 128 tokens a process, eager, 2 processes"
    assert alone["scaling efficiency"] == ""
    rates = [float(row["tokens/s"].replace(",", "")) for row in (alone, pair)]
    assert float(pair["scaling efficiency"].rstrip("%")) == pytest.approx(100 * rates[1] / (2 * rates[0]), rel=0.1)
    assert check.result.unchecked == [
        "several GPUs (NCCL), sizes above tiny: no CUDA device; two processes of one thread instead (gloo)"
    ]
    assert "tiny, 128 tokens a process, eager, 2 processes: tokens/s" in summary(check.result)


def test_ranks_train_one_model_on_batches_of_their_own_and_make_equally_many_updates(tmp_path):
    ranks = in_ranks(train_briefly, 2, check_in(tmp_path), on_gpus=False, seconds=300)
    for values, are_equal in zip(zip(*ranks, strict=True), (True, True, False), strict=True):
        assert (values[0] == values[1]) is are_equal


def train_briefly(world, device, check):
    """Number of timed updates, the weights after all, and a batch of this rank."""
    assert (device.type, torch.get_num_threads()) == ("cpu", 1)
    timing.SECONDS_ON_CPU = 1.0 if world.is_main else 0.0  # as if rank 1 were slow
    with timing.updates_of(check, "tiny", 128, "eager", world) as (model, batches, update):
        count = timing.measure(check, batches, update, world).updates
        return count, [float(weight.double().sum()) for weight in model.parameters()], batches[0].source.ids.tolist()


def test_scaling_efficiency_is_the_speed_of_all_devices_by_that_of_as_many_alone():
    alone = Speed(updates=10, target_tokens=900.0, seconds=10.0)
    # 180 tokens in the 1.25 s of the slower one: 144 tokens a second, of 2 x 90
    pair = [Speed(5, 100.0, 1.0, {"peak GiB": "3.0"}), Speed(5, 80.0, 1.25, {"peak GiB": "2.0"})]
    assert speed.parallel_row(pair, alone) == {
        "tokens/s": "144",
        "scaling efficiency": "80%",
        "ms an update": "250.0",
        "peak GiB": "3.0",
    }
    assert speed.parallel_row([alone], alone)["scaling efficiency"] == ""
    assert speed.parallel_row(pair, None)["scaling efficiency"] == ""


def killed(world, *_):
    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does for lack of memory
    return Speed(1, 100.0, 1.0)


def stopped(world, *_):
    if world.rank == 1:
        time.sleep(600)
    return Speed(1, 100.0, 1.0)


def broken(world, *_):
    if world.rank == 1:
        raise torch.AcceleratorError("CUDA error: an illegal memory access\ndetails")
    return Speed(1, 100.0, 1.0)


def without_memory(world, *_):
    if world.rank == 1:
        raise torch.OutOfMemoryError("CUDA out of memory\ndetails")
    return Speed(1, 100.0, 1.0)


@pytest.mark.parametrize(
    ("rank", "limit", "error"),
    [
        (killed, 120, "process 1 ended by SIGKILL"),
        (stopped, 15, "not done after 15 s"),
        (broken, 120, r"AcceleratorError: CUDA error: .*|process 1 has ended: CUDA error: .*"),
    ],
)
def test_a_rank_that_ends_or_hangs_fails_the_stage_which_continues(rank, limit, error, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "speed_of_rank", rank)
    monkeypatch.setattr(speed, "ROW_SECONDS", limit)
    ways = [("tiny", 128, "eager", devices) for devices in (1, 2, 1)]
    monkeypatch.setattr(speed, "parallel_ways", lambda num_gpus: iter(ways))
    check = check_in(tmp_path)
    speed.parallel_speed(check)
    [finding] = check.result.findings
    assert re.fullmatch(f"tiny, 128 tokens a process, eager, 2 processes: ({error})", finding)
    assert len(check.result.table) == 2


def test_updates_that_are_too_large_for_several_devices_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "speed_of_rank", without_memory)
    monkeypatch.setattr(speed, "parallel_ways", lambda num_gpus: iter([("tiny", 128, "eager", 2)]))
    check = check_in(tmp_path)
    speed.parallel_speed(check)
    assert check.result.findings == []
    reason = "OutOfMemoryError: CUDA out of memory|process 1 has ended: CUDA out of memory details"
    assert re.fullmatch(f"tiny, 128 tokens a process, eager, 2 processes: ({reason})", check.result.unchecked[0])


def test_a_rank_that_is_killed_is_a_finding_of_compiled_updates_too(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "speed_of_rank", killed)
    monkeypatch.setattr(speed, "parallel_ways", lambda num_gpus: iter([("tiny", 128, "compiled", 2)]))
    check = check_in(tmp_path)
    speed.parallel_speed(check)
    assert check.result.findings == ["tiny, 128 tokens a process, compiled, 2 processes: process 1 ended by SIGKILL"]


def test_updates_that_cannot_be_compiled_and_those_that_come_too_late_are_named(tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("no compiler\ndetails")

    monkeypatch.setattr(speed, "speed_of_rank", fails)
    monkeypatch.setattr(speed, "parallel_ways", lambda num_gpus: iter([("tiny", 128, "compiled", 1)]))
    check = check_in(tmp_path)
    speed.parallel_speed(check)
    assert check.result.findings == []
    assert "tiny, 128 tokens a process, compiled, 1 process: RuntimeError: no compiler" in check.result.unchecked
    monkeypatch.setattr(speed, "PARALLEL_SECONDS", 0.0)
    speed.parallel_speed(late := check_in(tmp_path))
    assert "tiny, 128 tokens a process, compiled, 1 process: out of time" in late.result.unchecked


def test_several_gpus_are_measured_beside_one_and_pairs_of_them_last():
    ways = list(speed.parallel_ways(8))
    measured = [(size, way, devices) for size, _, way, devices in ways]
    assert measured == [
        *product(["base"], ["eager", "compiled"], [1, 8]),
        *product(["small"], ["eager"], [1, 8]),
        ("base", "eager", 2),
    ]
    assert {devices for *_, devices in speed.parallel_ways(2)} == {1, 2}
    assert len(set(speed.parallel_ways(2))) == 6


def test_one_gpu_is_too_few_for_data_parallel_training(tmp_path):
    with pytest.raises(Skipped, match="1 CUDA device"):
        speed.parallel_speed(dataclasses.replace(check_in(tmp_path), num_gpus=1))


def test_one_sentence_is_decoded(tmp_path):
    check = check_in(tmp_path)
    speed.decoding_speed(check)
    [row] = check.result.table
    assert list(row) == ["decoding, beam 4", "sentences/s", "tokens/s", "ms a batch"]


def test_copies_and_products_have_rates(tmp_path):
    check = check_in(tmp_path)
    speed.ceilings(check)
    assert check.result.facts["products of 1,024 x 1,024 in fp32"] == "0.10 TFLOP/s"
    assert re.fullmatch(r"[\d,]+ GB/s", check.result.facts["copies, read and written"])


def test_what_fails_or_comes_too_late_is_named_and_the_rest_measured(tmp_path, monkeypatch):
    def measure(_check, size, *_):
        if size == "base":
            raise torch.OutOfMemoryError("CUDA out of memory\ndetails")
        return {"tokens/s": "1"}

    monkeypatch.setattr(speed, "train_speed", measure)
    monkeypatch.setattr(speed, "SIZES_ON_CPU", ("tiny", "base", "big"))
    monkeypatch.setattr(speed, "PEERS", {})
    check = check_in(tmp_path)
    speed.training_speed(check)
    assert [row["training"] for row in check.result.table] == ["tiny, 128 tokens, eager", "big, 128 tokens, eager"]
    assert "base, 128 tokens, eager: CUDA out of memory" in check.result.unchecked
    monkeypatch.setattr(speed, "STAGE_SECONDS", -1.0)
    speed.training_speed(late := check_in(tmp_path))
    assert late.result.table == []
    assert "tiny, 128 tokens, eager: out of time" in late.result.unchecked
    assert summary(late.result) == "not checked: tiny, 128 tokens, eager: out of time (and 3 more)"


def test_errors_of_the_device_fail_the_stage_and_those_of_compilers_and_libraries_leave_a_row_out(
    tmp_path, monkeypatch, capfd
):
    errors = {
        "eager": torch.AcceleratorError("CUDA error: an illegal memory access\ndetails"),
        "compiled": AssertionError(),
        "other library": TypeError("unexpected argument"),
    }

    def measure(_check, _size, _tokens, way, _ceiling):
        if way in errors:
            raise errors[way]
        return {"tokens/s": "1"}

    monkeypatch.setattr(speed, "train_speed", measure)
    ways = [("tiny", 128, way) for way in ("graphed", *errors)]
    monkeypatch.setattr(speed, "measured_ways", lambda *, on_gpu: iter(ways))
    check = check_in(tmp_path)
    speed.training_speed(check)
    assert [row["training"] for row in check.result.table] == ["tiny, 128 tokens, graphed"]
    assert check.result.findings == ["tiny, 128 tokens, eager: CUDA error: an illegal memory access"]
    assert check.result.unchecked[:2] == [
        "tiny, 128 tokens, compiled: AssertionError",
        "tiny, 128 tokens, other library: unexpected argument",
    ]
    assert capfd.readouterr().err.count("Traceback") == 3


def test_on_a_gpu_what_is_compiled_comes_last_and_is_large():
    ways = list(speed.measured_ways(on_gpu=True))
    assert ways[0] == ("tiny", 4096, "eager")
    assert {way for _, _, way in ways} == {*CANDIDATES, *PEERS, speed.FP8}
    first = next(number for number, (_, _, way) in enumerate(ways) if way in COMPILED)
    compiled = [(size, way) for size, tokens, way in ways[first:] if tokens == 32_768]
    assert compiled == [
        *product(["base"], [*COMPILED, speed.FP8]),
        *product(["big"], [*COMPILED, speed.FP8]),
        *product(["small", "tiny"], COMPILED),
    ]
    assert len(compiled) == len(ways[first:])


@pytest.mark.parametrize("name", PEERS)
def test_models_of_other_libraries_are_as_large_and_learn(name):
    torch.manual_seed(1)
    config = TransformerConfig(d_model=128, num_heads=4, ffn_dim=168, activation=Activation.swiglu, dropout=0.1)
    ours = build_model(config, Vocabularies(500, 500, shared=True))
    model = PEERS[name](config, 500)
    sizes = [sum(weight.numel() for weight in each.parameters()) for each in (ours, model)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)
    [batch] = of_similar_lengths([example_batch(256, vocabulary=500)])
    update = plain_updates(model, torch.device("cpu"), None)
    before = model(batch.source.ids, batch.target.ids)
    assert before.shape == (*batch.target.ids.shape, 500)
    labels = batch.labels.flatten()
    for _ in range(10):
        update(batch)
    after = model(batch.source.ids, batch.target.ids)
    losses = [torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels) for logits in (before, after)]
    assert losses[1] < 0.98 * losses[0]


def test_padded_batches_of_similar_lengths_have_the_same_pairs_and_little_padding():
    batches = [example_batch(4096, vocabulary=500, seed=seed) for seed in range(4)]
    padded = of_similar_lengths(batches)
    assert len(padded) == 4
    pairs = [
        sorted(
            (*map(tuple, map(np.ndarray.tolist, pair)),) for each in some for pair in zip(*each.pairs(), strict=True)
        )
        for some in (batches, padded)
    ]
    assert pairs[0] == pairs[1]
    positions = sum(batch.source.ids.numel() for batch in padded)
    assert sum(batch.num_source_tokens for batch in padded) > 0.6 * positions


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sm90_xmma_gemm_bf16bf16_bf16f32", "products"),
        ("pytorch_flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel", "attention"),
        ("void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimizer"),
        ("aten::addmm", "products"),
        ("void at::native::vectorized_elementwise_kernel<4, silu>", "elementwise, others"),
        ("vectorized_layer_norm_kernel", "norms"),
        ("multi_tensor_apply_kernel<TensorListMetadata<2>, CopyFunctor<c10::BFloat16, float>>", "copies and casts"),
        ("void (anonymous namespace)::sum_and_scatter<c10::BFloat16, long>", "embeddings"),
        ("vectorized_gather_kernel", "softmax and loss"),
        ("ncclDevKernel_Broadcast_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "exchange between devices"),
        ("triton_per_fused__to_copy_add_native_layer_norm_8", "fused by a compiler"),
    ],
)
def test_kernels_have_kinds(name, kind):
    assert timing.kind_of(name) == kind


def test_kernels_of_a_gpu_are_counted_once(monkeypatch):
    def event(key, time, device=DeviceType.CUDA, annotation=False):
        return SimpleNamespace(
            key=key, count=3, self_device_time_total=time, device_type=device, is_user_annotation=annotation
        )

    events = [
        event("aten::mm", 60, DeviceType.CPU),
        event("nvjet_tst_128x256", 60),
        event("Optimizer.step#AdamW.step", 90, annotation=True),
        event("vectorized_elementwise_kernel", 40),
        event("cudaDeviceSynchronize", 0, DeviceType.CPU),  # by the stage and the profiler, at the end
        event("cudaStreamSynchronize", 0, DeviceType.CPU),
    ]
    monkeypatch.setattr(timing, "PROFILED", 3)
    expected = {"share of time": "products 60%, elementwise, others 40%", "waits an update": "1.0"}
    assert timing.shares_of(events, on_gpu=True) == expected


def test_rates_of_products_are_measured(tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(timing, "SECONDS_ON_CPU", 0.01)
    assert speed.products(check_in(tmp_path), Precision.fp32, 64) > 1e6
