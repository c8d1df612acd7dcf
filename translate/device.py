"""Devices and their capabilities, precision of decoding; threads of the process.

`capabilities` asks PyTorch what a device can do; the decisions are pure functions of its answer, so that tests cover
GPUs that the machine lacks. PyTorch is imported inside functions, because other engines do without it.
"""

from __future__ import annotations

import os
import platform
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from translate.errors import UserError, require_between
from translate.memory import keep_memory

if TYPE_CHECKING:
    import torch


_VOLTA, AMPERE = (7, 0), (8, 0)  # the first compute capabilities with matrix units for fp16 and for bf16
_MOST_THREADS = 1024
_HIDING = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that leave no GPU


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """Type of matrix products, or of stored weights; which of them exist depends on engine and device.

    fp16  on a GPU half-precision arithmetic; on a CPU, for decoding, half-precision weights and fp32 arithmetic
    int8  for decoding on a CPU, and on GPUs with CTranslate2
    """

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """Abilities of one device with this PyTorch.

    name                the vendor's
    compute_capability  of an NVIDIA GPU, such as (8, 0) of an A100; None elsewhere
    memory              bytes of a GPU
    bf16_matmul         matrix units for bf16: GPUs from Ampere on, CPUs with AMX; elsewhere it is emulated and slow
    fp16_matmul         matrix units for fp16: GPUs from Volta on
    flash_attention     PyTorch's variable-length flash attention is there
    half_weights        linear layers with fp16 weights on a CPU: needs FBGEMM, and with it x86 with AVX2
    int8_products       exact ones on a CPU: needs FBGEMM and AVX-512 VNNI
    """

    on_gpu: bool
    name: str = ""
    compute_capability: tuple[int, int] | None = None
    memory: int = 0
    bf16_matmul: bool = False
    fp16_matmul: bool = False
    flash_attention: bool = False
    half_weights: bool = False
    int8_products: bool = False

    def __str__(self) -> str:
        facts = [self.name]
        if self.compute_capability:
            facts.append("compute capability {}.{}".format(*self.compute_capability))
        if self.memory:
            facts.append(f"{self.memory / 2**30:.0f} GiB")
        return ", ".join(fact for fact in facts if fact)


@dataclass(frozen=True)
class Gpus:
    """Number of GPUs that PyTorch can use; obstacle: why it cannot use the machine's GPUs, "" if nothing is wrong."""

    count: int
    obstacle: str = ""


def choose_device(device: Device, *, gpus: Gpus | None = None) -> torch.device:
    """The device for a setting; auto: a GPU if there is one. Each of several processes takes the GPU of its local rank.

    Sets up PyTorch for a GPU by choose_kernels().

    gpus  by default those of this machine

    Raises UserError where a GPU is asked for and missing.
    """
    import torch  # not needed by other engines, and it takes longer to import than all the rest

    if device is Device.cpu:
        return torch.device("cpu")
    gpus = find_gpus() if gpus is None else gpus
    if gpus.count:
        choose_kernels()
        return torch.device("cuda", gpu_of_process(gpus.count))
    if device is Device.cuda:
        cause = f": {gpus.obstacle}" if gpus.obstacle else ""
        raise UserError(f"device=cuda, but PyTorch finds no GPU here{cause}; use device=cpu or device=auto")
    return torch.device("cpu")


def choose_kernels() -> None:
    """Choose among PyTorch's kernels for GPUs, in this process and those that it forks; does not use the GPU."""
    import torch

    # cuDNN's attention, PyTorch's first choice on Hopper, plans anew for every shape, and batches differ in theirs
    torch.backends.cuda.enable_cudnn_sdp(False)


def gpu_of_process(count: int) -> int:
    """Index of this process's GPU: its local rank under torchrun. Raises UserError where that is not below `count`."""
    # of this machine: the rank among all machines would name GPUs that are elsewhere
    given = os.environ.get("LOCAL_RANK", "0")
    if not given.isdecimal():
        raise UserError(f"LOCAL_RANK={given} in the environment is not a number: unset it, or start by torchrun")
    local_rank = int(given)
    if local_rank >= count:
        raise UserError(
            f"process {local_rank + 1} of this machine has no GPU: there are {count}; start as many processes "
            "as there are GPUs"
        )
    return local_rank


def unused_gpu(device: Device, *, gpus: Gpus | None = None) -> str:
    """Warning for device=auto on a machine whose GPU PyTorch cannot use; "" otherwise."""
    if device is not Device.auto:
        return ""
    obstacle = (find_gpus() if gpus is None else gpus).obstacle
    return f"this machine has a GPU that PyTorch cannot use: {obstacle}; the CPU is used" if obstacle else ""


def find_gpus() -> Gpus:
    """The GPUs that PyTorch can use, or why it cannot use those that are there."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a driver that is too old is reported below
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count or os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in _HIDING or not _has_gpu_driver():
        return Gpus(count)
    if torch.version.cuda is None and torch.version.hip is None:
        return Gpus(0, f"this PyTorch ({torch.__version__}) is built for CPUs only")
    try:
        # only an attempt to use the GPU brings the error that names the cause
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return Gpus(0, str(error).split("\n", 1)[0].split(". Please", 1)[0].rstrip("."))
    return Gpus(0, "the CUDA runtime counts no device")


def _has_gpu_driver() -> bool:
    """True if the system has a driver of a GPU, working or not."""
    devices = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd")]
    return bool(devices) or (platform.system() == "Windows" and shutil.which("nvidia-smi") is not None)


def capabilities(device: torch.device) -> Capabilities:
    """Ask PyTorch for the abilities of a device."""
    import torch

    if device.type == "cpu":
        return Capabilities(
            on_gpu=False,
            bf16_matmul=_cpu_has("_is_amx_tile_supported"),
            half_weights=_has_half_weights(),
            # without VNNI, FBGEMM adds pairs of products in 16 bits, which overflow
            int8_products=_has_half_weights() and _cpu_has("_is_vnni_supported"),
        )
    properties = torch.cuda.get_device_properties(device)
    name, memory = properties.name, properties.total_memory
    if torch.version.hip is not None:  # AMD: other numbers, and the packed kernel was never tried there
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Capabilities(on_gpu=True, name=name, memory=memory, bf16_matmul=has_bf16, fp16_matmul=True)
    capability = (properties.major, properties.minor)
    return Capabilities(
        on_gpu=True,
        name=name,
        memory=memory,
        compute_capability=capability,
        bf16_matmul=capability >= AMPERE,
        fp16_matmul=capability >= _VOLTA,
        flash_attention=capability >= AMPERE and torch.backends.cuda.is_flash_attention_available(),
    )


def _cpu_has(test: str) -> bool:
    """Result of one of PyTorch's private tests of the CPU; False if this version lacks it."""
    import torch

    function = getattr(torch.cpu, test, None)
    return bool(function and function())


def _has_half_weights() -> bool:
    """True if PyTorch can multiply by fp16 weights on this processor: with FBGEMM, which needs x86 with AVX2."""
    import torch

    return "fbgemm" in torch.backends.quantized.supported_engines


def fastest_training_precision(can: Capabilities) -> Precision:
    """bf16 where there are matrix units for it, else fp16 where there are units for that, else fp32."""
    # bf16 first: it has the range of fp32, so that no loss scaling is needed
    if can.bf16_matmul:
        return Precision.bf16
    return Precision.fp16 if can.fp16_matmul else Precision.fp32


def decoding_precision(precision: Precision, can: Capabilities) -> Precision:
    """Precision in which our own engine decodes; auto is the fastest that the device has units for."""
    if precision is Precision.int8 and can.on_gpu:
        raise UserError(
            "precision=int8: engine=native has it on a CPU alone; use device=cpu, or precision=auto on the GPU"
        )
    if precision is Precision.int8 and not can.int8_products:
        raise UserError(
            "precision=int8: PyTorch has no exact products of int8 for this processor (they need AVX-512 VNNI); use "
            "precision=auto, or engine=ctranslate2"
        )
    if precision is Precision.fp16 and not (can.on_gpu or can.half_weights):
        raise UserError(
            "precision=fp16: PyTorch has no products with fp16 weights for this processor; use precision=fp32"
        )
    if precision is not Precision.auto:
        return precision
    if can.on_gpu:
        return fastest_training_precision(can)
    return Precision.fp16 if can.half_weights else Precision.fp32


def use_tf32() -> None:
    """Let fp32 matrix products on a GPU round their factors to TF32.

    By the older of PyTorch's two settings, which sets the newer one too: after the newer one alone, the older getters
    raise RuntimeError, and torch.compile calls them.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = True


@contextmanager
def without_tf32() -> Iterator[None]:
    """Disable TF32 inside, so that a run's validation in fp32 gives what the decode command gives."""
    import torch

    # cuDNN, for LSTMs and convolutions, has a switch of its own, which is on by default
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def require_threads(key: str, value: int) -> None:
    """Raise UserError for a number of threads or processes that a system would refuse, or crash on; 0: by itself."""
    require_between(key, value, 0, _MOST_THREADS)


def tune_process(threads: int) -> None:
    """Set up memory, and PyTorch's kernels and threads (0: as many as it takes by itself); before any work is done.

    oneDNN keeps the kernels of every batch shape it has met. Raises UserError for an OMP_NUM_THREADS out of range.
    """
    if (wished := os.environ.get("OMP_NUM_THREADS", "").strip()).isdecimal():
        require_threads("the environment variable OMP_NUM_THREADS", int(wished[:20]))
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
    keep_memory()
    if threads:
        import torch  # not before it is known that PyTorch is needed

        torch.set_num_threads(threads)


def processor_name() -> str:
    """Name of the CPU and its number of cores, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        return f"{names[0]}, {len(names)} cores"
    except (OSError, IndexError):
        return platform.processor()
