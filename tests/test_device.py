"""Decisions by the capabilities of a device: for GPUs that are not there, by facts made up by hand."""

import subprocess
import sys

import pytest
import torch

from in_process import call_here
from small_runs import environment, options, write_corpus
from translate import device as devices
from translate.device import (
    Capabilities,
    Device,
    Gpus,
    Precision,
    capabilities,
    choose_device,
    decoding_precision,
    find_gpus,
    gpu_of_process,
    unused_gpu,
    use_tf32,
    without_tf32,
)
from translate.errors import UserError
from translate.exporting.ctranslate2_model import runtime_precision
from translate.models import TransformerConfig
from translate.training.config import TrainConfig
from translate.training.parallel import decide_run, decide_training

GIB = 2**30


def gpu(name: str, major: int, minor: int, memory: int, *, flash: bool = True) -> Capabilities:
    return Capabilities(
        on_gpu=True,
        name=name,
        compute_capability=(major, minor),
        memory=memory * GIB,
        bf16_matmul=major >= 8,
        fp16_matmul=major >= 7,
        flash_attention=flash and major >= 8,
    )


P100 = gpu("Tesla P100-PCIE-16GB", 6, 0, 16)
V100 = gpu("Tesla V100-SXM2-16GB", 7, 0, 16)
T4 = gpu("Tesla T4", 7, 5, 15)
A100 = gpu("NVIDIA A100-SXM4-80GB", 8, 0, 80)
RTX3090 = gpu("NVIDIA GeForce RTX 3090", 8, 6, 24)
H100 = gpu("NVIDIA H100 80GB HBM3", 9, 0, 80)
AMD = Capabilities(on_gpu=True, name="AMD Instinct MI250X", memory=64 * GIB, bf16_matmul=True, fp16_matmul=True)
OLD_CPU = Capabilities(on_gpu=False)
AVX2 = Capabilities(on_gpu=False, half_weights=True)
AMX = Capabilities(on_gpu=False, half_weights=True, bf16_matmul=True)


def decide(can: Capabilities, *, precision=Precision.auto, head_width=64, padded_because=""):
    device = torch.device("cuda", 0) if can.on_gpu else torch.device("cpu")
    return decide_training(device, can, precision=precision, head_width=head_width, padded_because=padded_because)


@pytest.mark.parametrize(
    ("can", "training", "decoding", "packed"),
    [
        (P100, "fp32", "fp32", False),
        (V100, "fp16", "fp16", False),
        (T4, "fp16", "fp16", False),
        (A100, "bf16", "bf16", True),
        (RTX3090, "bf16", "bf16", True),
        (H100, "bf16", "bf16", True),
        (AMD, "bf16", "bf16", False),
        (OLD_CPU, "fp32", "fp32", False),
        (AVX2, "fp32", "fp16", False),
        (AMX, "bf16", "fp16", False),
    ],
    ids=str,
)
def test_auto_precision_follows_device_capabilities(can, training, decoding, packed):
    decision = decide(can)
    assert (decision.precision, decision.decoding_precision, decision.packed) == (training, decoding, packed)
    assert decoding_precision(Precision.auto, can) == decoding, "the decode command decodes as validation did"
    assert decision.warnings == []


def test_a_run_in_fp32_on_a_gpu_is_validated_in_fp32():
    decision = decide(A100, precision=Precision.fp32)
    assert decision.decoding_precision is Precision.fp32
    assert decision.padded_because == "the packed attention kernel is for bf16 and fp16"


@pytest.mark.parametrize(
    ("can", "width", "packed"),
    [
        (A100, 8, True),
        (A100, 12, False),
        (A100, 100, False),
        (A100, 192, True),
        (A100, 256, True),
        (A100, 264, False),
        (A100, 0, False),
        (RTX3090, 192, True),
        (RTX3090, 200, False),
        (H100, 256, True),
    ],
)
def test_head_widths_outside_the_packed_kernel_use_padding(can, width, packed):
    decision = decide(can, head_width=width)
    assert decision.packed is packed
    assert packed or f"not {width}" in decision.line()


def test_padding_is_used_without_the_kernel_or_when_required():
    assert "other builds" in decide(gpu("NVIDIA A100", 8, 0, 80, flash=False)).padded_because
    assert decide(A100, padded_because="auxiliary losses").padded_because == "auxiliary losses"


@pytest.mark.parametrize(
    ("can", "line"),
    [
        (
            T4,
            "device: cuda:0 (Tesla T4, compute capability 7.5, 15 GiB); training in fp16 with loss scaling, padded "
            "batches (the packed attention kernel is for GPUs of compute capability 8.0 and above); validation decodes "
            "in fp16",
        ),
        (
            H100,
            "device: cuda:0 (NVIDIA H100 80GB HBM3, compute capability 9.0, 80 GiB); training in bf16, packed batches; "
            "validation decodes in bf16",
        ),
        (AVX2, "device: cpu; training in fp32, padded batches; validation decodes in fp16 weights"),
        (OLD_CPU, "device: cpu; training in fp32, padded batches; validation decodes in fp32"),
    ],
    ids=str,
)
def test_decisions_are_described_in_one_line(can, line):
    assert decide(can).line() == line


def test_unsupported_precision_is_refused_and_emulated_precision_warned_of():
    with pytest.raises(UserError, match="fp16: training in fp16 needs a GPU"):
        decide(AMX, precision=Precision.fp16)
    with pytest.raises(UserError, match="int8 is for decoding"):
        decide(A100, precision=Precision.int8)
    with pytest.raises(UserError, match="int8: engine=native has it on a CPU alone; use device=cpu"):
        decoding_precision(Precision.int8, A100)
    with pytest.raises(UserError, match=r"int8: .* need AVX-512 VNNI.*; use precision=auto, or engine=ctranslate2"):
        decoding_precision(Precision.int8, AVX2)
    with pytest.raises(UserError, match="use precision=fp32"):
        decoding_precision(Precision.fp16, OLD_CPU)
    [warning] = decide(T4, precision=Precision.bf16).warnings
    assert warning.endswith("compute.precision=auto would be fp16")
    [warning] = decide(AVX2, precision=Precision.bf16).warnings
    assert "emulated" in warning


@pytest.mark.parametrize(
    ("precision", "supported", "on_gpu", "expected"),
    [
        ("auto", ["fp32", "fp16", "bf16", "int8"], True, "bf16"),
        ("auto", ["fp32", "fp16", "int8"], True, "fp16"),
        ("auto", ["fp32", "int8"], True, "fp32"),
        ("auto", ["fp32", "bf16", "int8"], False, "fp32"),
        ("int8", ["fp32", "int8"], False, "int8"),
    ],
)
def test_precision_of_another_runtime(precision, supported, on_gpu, expected):
    assert runtime_precision(Precision(precision), [Precision(x) for x in supported], on_gpu=on_gpu) == expected


def test_a_precision_that_another_runtime_lacks_is_refused():
    with pytest.raises(UserError, match=r"precision=bf16: CTranslate2 does not support it .* it supports fp32, int8"):
        runtime_precision(Precision.bf16, [Precision.int8, Precision.fp32], on_gpu=False)


OLD_DRIVER = Gpus(0, "The NVIDIA driver on your system is too old (found version 11040)")


def test_unusable_gpu_is_logged():
    with pytest.raises(UserError, match=r"finds no GPU here: The NVIDIA driver .* too old .*; use device=cpu"):
        choose_device(Device.cuda, gpus=OLD_DRIVER)
    assert choose_device(Device.auto, gpus=OLD_DRIVER) == torch.device("cpu")
    assert "too old" in unused_gpu(Device.auto, gpus=OLD_DRIVER)
    assert unused_gpu(Device.cpu, gpus=OLD_DRIVER) == "", "who asks for the CPU knows"
    assert unused_gpu(Device.auto, gpus=Gpus(0)) == unused_gpu(Device.auto, gpus=Gpus(1)) == ""


@pytest.fixture
def installed_gpu(monkeypatch):
    """A machine with a driver's device file, on which PyTorch finds no GPU."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "_has_gpu_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("installed_gpu")
def test_reason_for_an_unusable_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built for CPUs only" in find_gpus().obstacle

    def fail():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update it.\n")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", fail)
    assert find_gpus() == OLD_DRIVER
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_gpus() == Gpus(0), "hidden on purpose"


@pytest.mark.usefixtures("installed_gpu")
def test_training_warns_of_an_unusable_gpu(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    config = TrainConfig(model=TransformerConfig())
    assert any("built for CPUs only" in warning for warning in decide_run(config).warnings)


def test_every_rank_uses_the_gpu_of_its_local_rank(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device(Device.auto, gpus=Gpus(2)) == torch.device("cuda", 1)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert gpu_of_process(2) == 1
    with pytest.raises(UserError, match="process 2 of this machine has no GPU: there are 1"):
        choose_device(Device.cuda, gpus=Gpus(1))
    monkeypatch.delenv("LOCAL_RANK")
    assert choose_device(Device.cuda, gpus=Gpus(2)) == torch.device("cuda", 0)


def test_current_cpu_is_described():
    can = capabilities(torch.device("cpu"))
    assert not can.on_gpu
    assert not can.flash_attention
    assert decide(can).line().startswith("device: cpu; training in ")


def test_tf32_can_be_read_by_the_older_getters_and_the_newer_one():
    try:
        use_tf32()
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
        with without_tf32():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cuda.matmul.allow_tf32
            assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


def test_device_module_imports_no_pytorch():
    code = "import sys, translate.device; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0


def test_run_logs_the_decisions_and_refuses_fp16_on_a_cpu(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", pairs=100)
    settings = {"tokenizer__vocab_size": 16, "run__max_steps": 1, "compute__device": "cpu"}
    result = call_here("train", *options(corpus, tmp_path / "run", **settings))
    assert b"device: cpu; training in " in result.stderr
    result = call_here("train", *options(corpus, tmp_path / "half", **settings, compute__precision="fp16"))
    assert result.returncode != 0
    assert b"error: compute.precision=fp16: training in fp16 needs a GPU" in result.stderr
    assert not (tmp_path / "half" / "tokenizer.model").exists(), "refused before the work starts"
