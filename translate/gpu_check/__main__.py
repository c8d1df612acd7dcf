"""python -m translate.gpu_check: check the kernels, updates, resuming and decoding of this machine's device."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from translate import __version__
from translate.config import run_command
from translate.device import (
    Capabilities,
    Device,
    capabilities,
    choose_device,
    choose_kernels,
    find_gpus,
    processor_name,
    tune_process,
    unused_gpu,
    without_tf32,
)
from translate.errors import UserError
from translate.folders import claimed
from translate.gpu_check import Check, GpuCheckConfig, Result, Skipped, StageName, Verdict, relative_error
from translate.gpu_check.children import ProcessError, in_processes
from translate.gpu_check.decoding import batches, hypotheses
from translate.gpu_check.failed_updates import memory, scaling
from translate.gpu_check.kernels import kernels
from translate.gpu_check.report import JSON, PAGE, line_begun, line_ended, write_results
from translate.gpu_check.runs import corpus, processes, resume
from translate.gpu_check.speed import ceilings, decoding_speed, parallel_speed, training_speed
from translate.gpu_check.updates import fast_paths, packed, updates

PROBE_SECONDS = 120.0
PACKAGES = ("torch", "numpy", "sentencepiece", "safetensors", "sacrebleu")
DRIVER = Path("/proc/driver/nvidia/version")
LOGS = "logs"


@dataclass(frozen=True)
class Stage:
    """Function and limits of a stage.

    seconds  timeout, several times the usual duration; the minutes of training on the corpus are added
    threads  CPU threads if the command does not set them; 0: PyTorch's default. One suffices for small tensors
    """

    work: Callable[[Check], None]
    seconds: float
    threads: int = 1


def machine(check: Check) -> None:
    """Record device, driver and versions, and check a matrix product; fails if PyTorch cannot use an existing GPU."""
    check.note("device", f"{check.device} ({check.can})" if check.can.on_gpu else f"cpu ({processor_name()})")
    check.note("CUDA devices", check.num_gpus)
    check.note("threads", torch.get_num_threads())
    check.note("system", f"{platform.platform()}, Python {platform.python_version()}")
    check.note("translate", __version__)
    for package in PACKAGES:
        check.note(package, version(package))
    if check.can.on_gpu:
        check.note("driver", DRIVER.read_text().splitlines()[0] if DRIVER.exists() else "unknown")
        check.note("CUDA", f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    obstacle = unused_gpu(check.config.device)
    check.require(not obstacle, obstacle)
    generator = torch.Generator().manual_seed(check.config.seed)
    left, right = torch.randn(2, 512, 512, generator=generator).unbind()
    with without_tf32():
        found = left.to(check.device) @ right.to(check.device)
    # sums of 512 rounded products: the errors add up to √512 roundings if they are independent
    tolerance = 512**0.5 * torch.finfo(torch.float32).eps
    check.compare("fp32, product of matrices", relative_error(found, left.double() @ right.double()), tolerance)


STAGES = {
    StageName.machine: Stage(machine, 120),
    StageName.kernels: Stage(kernels, 300),
    StageName.packed: Stage(packed, 300),
    StageName.updates: Stage(updates, 600),
    StageName.scaling: Stage(scaling, 300),
    StageName.memory: Stage(memory, 300),
    StageName.compile: Stage(fast_paths, 600),
    StageName.resume: Stage(resume, 900),
    StageName.batches: Stage(batches, 600),
    StageName.hypotheses: Stage(hypotheses, 600),
    StageName.processes: Stage(processes, 300),
    StageName.corpus: Stage(corpus, 900, threads=0),
    StageName.ceilings: Stage(ceilings, 120),
    StageName.training_speed: Stage(training_speed, 900),
    StageName.parallel_speed: Stage(parallel_speed, 600),
    StageName.decoding_speed: Stage(decoding_speed, 600),
}


def gpu_check(config: GpuCheckConfig) -> None:
    """Run the stages, print and write their results.

    Raises UserError if any stage has failed, and if the output folder has other programs' files of the same names.
    """
    config.check()
    with claimed(Path(config.output), (PAGE, JSON), may_have=(LOGS,), kind="gpu_check", option="output"):
        check_device(config, Path(config.output))


def check_device(config: GpuCheckConfig, output: Path) -> None:
    """Run the stages, and write the results to the folder `output` after each."""
    # in a child process, since forked processes cannot use CUDA if their parent has
    try:
        [(device, can, num_gpus)] = in_processes(probe, (config.device,), seconds=PROBE_SECONDS)
    except ProcessError as error:
        raise UserError(str(error)) from None
    (output / LOGS).mkdir(exist_ok=True)
    results: list[Result] = []
    for name in config.stages or STAGES:
        print(line_begun(name), end="", flush=True)  # it may take minutes
        result = run_stage(name, partial(Check, config, device, can, num_gpus), output / LOGS)
        results.append(result)
        print(line_ended(result), flush=True)
        write_results(results, output)  # in case the next stage crashes the machine
    print(f"results: {output / PAGE}, {output / JSON}")
    if failed := [result.name.value for result in results if result.verdict is Verdict.failed]:
        raise UserError(f"failed: {', '.join(failed)}; findings in {output / PAGE}, logs in {output / LOGS}")


def probe(device: Device) -> tuple[torch.device, Capabilities, int]:
    """The device chosen by a setting, its capabilities, and the number of GPUs."""
    chosen = choose_device(device)
    return chosen, capabilities(chosen), find_gpus().count if chosen.type == "cuda" else 0


def run_stage(name: StageName, make_check: Callable[[Path, Result], Check], logs: Path) -> Result:
    """Run a stage in its own process, so that a crash or broken CUDA context does not affect the others."""
    stage, started = STAGES[name], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu_check.", ignore_cleanup_errors=True) as folder:
        check = make_check(Path(folder), Result(name))
        limit = stage.seconds + (60 * check.config.minutes if name is StageName.corpus else 0)
        try:
            [result] = in_processes(perform, (stage, check, logs / f"{name}.log"), seconds=limit)
        except ProcessError as error:
            result = replace(check.result, findings=[str(error)])
    verdict = Verdict.failed if result.findings else result.verdict
    return replace(result, verdict=verdict, seconds=time.monotonic() - started)


def perform(stage: Stage, check: Check, log: Path) -> Result:
    """Body of a stage's process, with its output redirected to the log."""
    with open(log, "wb") as file:
        for descriptor in (1, 2):  # also redirects libraries and child processes
            os.dup2(file.fileno(), descriptor)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    tune_process(check.config.threads or stage.threads)
    if check.can.on_gpu:
        choose_kernels()  # as commands do when they choose the device, which here the process of probe() has done
    try:
        stage.work(check)
    except Skipped as skipped:
        return replace(check.result, verdict=Verdict.skipped, reason=str(skipped))
    return check.result


if __name__ == "__main__":
    run_command("gpu_check", GpuCheckConfig, gpu_check)
