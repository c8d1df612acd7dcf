"""The stages of gpu_check that measure: rows for what this machine can, names for the rest."""

import re

import pytest
import torch
from test_gpu_check import check_in

from translate.device import Precision
from translate.gpu_check import speed
from translate.gpu_check.report import section, summary


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS_ON_CPU", 0.01)
    monkeypatch.setattr(speed, "TOKENS_ON_CPU", (128,))
    monkeypatch.setattr(speed, "VOCABULARY", 200)
    monkeypatch.setattr(speed, "BATCHES", 1)
    monkeypatch.setattr(speed, "PROFILED", 1)
    monkeypatch.setattr(speed, "products", lambda *_: 1e11)


def test_training_is_measured_beside_the_ceiling(tmp_path):
    check = check_in(tmp_path)
    speed.training_speed(check)
    [row] = check.result.table
    assert row["training"] == "tiny, 128 tokens, eager"
    assert float(row["tokens/s"].replace(",", "")) > 0
    assert re.fullmatch(r"\d+%", row["of ceiling"])
    assert "products" in row["time"]
    assert any("no CUDA device" in gap for gap in check.result.unchecked)
    assert "tiny, 128 tokens, eager" in summary(check.result)
    assert any("| tiny, 128 tokens, eager |" in part for part in section(check.result))


def test_one_sentence_is_decoded(tmp_path):
    check = check_in(tmp_path)
    speed.decoding_speed(check)
    [row] = check.result.table
    assert list(row) == ["decoding, beam 4", "sentences/s", "tokens/s", "ms"]


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
    check = check_in(tmp_path)
    speed.training_speed(check)
    assert [row["training"] for row in check.result.table] == ["tiny, 128 tokens, eager", "big, 128 tokens, eager"]
    assert "base, 128 tokens, eager: CUDA out of memory" in check.result.unchecked
    monkeypatch.setattr(speed, "STAGE_SECONDS", -1.0)
    speed.training_speed(late := check_in(tmp_path))
    assert late.result.table == []
    assert "tiny, 128 tokens, eager: out of time" in late.result.unchecked


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sm90_xmma_gemm_bf16bf16_bf16f32", "products"),
        ("pytorch_flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel", "attention"),
        ("void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimizer"),
        ("aten::addmm", "products"),
        ("void at::native::vectorized_elementwise_kernel<4, silu>", "elementwise, others"),
        ("vectorized_layer_norm_kernel", "norms"),
    ],
)
def test_kernels_have_kinds(name, kind):
    assert speed.kind_of(name) == kind


def test_rates_of_products_are_measured(tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(speed, "SECONDS_ON_CPU", 0.01)
    assert speed.products(check_in(tmp_path), Precision.fp32, 64) > 1e6
