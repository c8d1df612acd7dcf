"""The gpu_check command: stages apart from each other, its results, and what it imports."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from in_process import call_here
from small_runs import REPOSITORY, environment, start
from translate.device import Capabilities
from translate.errors import UserError
from translate.gpu_check import Check, Figure, GpuCheckConfig, Result, Skipped, StageName, Verdict
from translate.gpu_check import __main__ as command
from translate.gpu_check.children import ProcessError, in_processes
from translate.gpu_check.report import overall, page, plain


def passes(check: Check) -> None:
    check.compare("sum", 1e-8, 1e-6, case="two terms")
    check.note("threads", 1)
    check.leave_out("NCCL", "no CUDA device")


def finds_an_error(check: Check) -> None:
    check.compare("sum", 0.5, 1e-6, case="three terms")
    check.compare("sum", 1e-8, 1e-6, case="two terms")


def raises(check: Check) -> None:
    raise ValueError("no kernel image\nis available")


def crashes(check: Check) -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as the system does for lack of memory


def hangs(check: Check) -> None:
    time.sleep(60)


def skips(check: Check) -> None:
    raise Skipped("no CUDA device")


@pytest.fixture
def results(tmp_path, monkeypatch, capfd):
    """The results of stages with every kind of end, their error and the lines of the terminal."""
    works = [finds_an_error, raises, crashes, hangs, skips, passes]
    stages = {name: command.Stage(work, 1) for name, work in zip(StageName, works, strict=False)}
    monkeypatch.setattr(command, "STAGES", stages)
    with pytest.raises(UserError) as error:
        command.gpu_check(GpuCheckConfig(output=str(tmp_path)))
    return json.loads((tmp_path / "gpu_check.json").read_text()), str(error.value), capfd.readouterr().out


def test_a_stage_that_fails_stops_no_other(results):
    found, error, out = results
    assert [(stage["verdict"], stage["findings"]) for stage in found["stages"]] == [
        ("failed", ["sum (three terms): 0.5, at most 1e-06 expected"]),
        ("failed", ["ValueError: no kernel image"]),
        ("failed", ["ended by SIGKILL"]),
        ("failed", ["not done after 1 s"]),
        ("skipped", []),
        ("passed", []),
    ]
    assert found["verdict"] == "failed"
    assert error.startswith("failed: machine, kernels, packed, updates; findings in ")
    *lines, _ = out.splitlines()
    assert [line.split()[:2] for line in lines] == [[stage["name"], stage["verdict"]] for stage in found["stages"]]
    column = max(map(len, StageName)) + 1  # where all verdicts begin
    assert all(line[column - 1] == " " != line[column] for line in lines)
    assert "skipped: no CUDA device" in out


def test_the_results_have_figures_facts_and_gaps(results, tmp_path):
    found, _, _ = results
    assert found["stages"][0]["figures"] == {
        "sum": {"value": 0.5, "tolerance": 1e-6, "case": "three terms", "count": 2}
    }
    assert (found["stages"][5]["facts"], found["stages"][5]["unchecked"]) == (
        {"threads": "1"},
        ["NCCL: no CUDA device"],
    )
    written = (tmp_path / "gpu_check.md").read_text()
    assert "6 stages: 1 passed, 4 failed, 1 skipped." in written
    assert "- **failed**: ValueError: no kernel image" in written
    assert "- not checked: NCCL: no CUDA device" in written
    assert "no kernel image\nis available" in (tmp_path / "logs" / "kernels.log").read_text()


def test_nan_and_infinity_are_above_any_tolerance_and_null_in_json():
    for value in (float("nan"), float("inf")):
        figure = Figure(value, 1.0, "")
        assert not figure.is_good
        [written] = plain(Result(StageName.kernels, figures={"sum": figure}))["figures"].values()
        assert written["value"] is None
        assert json.dumps(written, allow_nan=False)
    assert Figure(0, 0, "").is_good
    assert not Figure(1, 0, "").is_good


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [(["passed", "failed"], "failed"), (["passed", "skipped"], "passed"), (["skipped"], "skipped")],
)
def test_the_verdict_of_all_stages(verdicts, expected):
    results = [Result(StageName.kernels, Verdict(verdict)) for verdict in verdicts]
    assert overall(results) == expected
    count = "1 stage" if len(verdicts) == 1 else "2 stages"
    assert page(results).startswith(f"# GPU check\n\n{count}: ")


def note_kernels(check: Check) -> None:
    check.note("cuDNN's attention", torch.backends.cuda.cudnn_sdp_enabled())


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_stage_has_the_kernels_of_a_run(on_gpu, tmp_path):
    """A stage's process does not choose the device, which would forbid it to fork processes that use a GPU."""
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    check = Check(
        GpuCheckConfig(threads=1),
        torch.device("cpu"),
        Capabilities(on_gpu=on_gpu),
        0,
        tmp_path,
        Result(StageName.machine),
    )
    try:
        stage = command.Stage(note_kernels, 60)
        [result] = in_processes(command.perform, (stage, check, tmp_path / "log"), seconds=60)
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
    assert result.facts == {"cuDNN's attention": str(not on_gpu)}


def test_the_error_of_one_process_ends_the_others():
    started = time.monotonic()
    with pytest.raises(ProcessError, match="ValueError: rank 1"):
        in_processes(fail_or_wait, (0,), (1,), seconds=60)
    assert time.monotonic() - started < 30


def fail_or_wait(rank: int) -> None:
    if rank == 1:
        raise ValueError("rank 1")
    time.sleep(60)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_a_command_that_is_killed_leaves_no_process(tmp_path):
    process = start("gpu_check", "stages=[kernels]", f"output={tmp_path}", "device=cpu")
    log = tmp_path / "logs" / "kernels.log"
    while process.poll() is None and not log.exists():
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate()
    assert children
    deadline = time.monotonic() + 20
    while any(is_running(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_running(child) for child in children)


def is_running(process: str) -> bool:
    """False also for a zombie that nothing waits for."""
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_chosen_stages_run_and_others_do_not(tmp_path):
    done = call_here("gpu_check", "stages=[machine,hypotheses]", f"output={tmp_path}", "device=cpu", "threads=1")
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["machine", "passed"], ["hypotheses", "skipped"]]
    assert len(lines) == 3


def test_a_folder_with_a_users_files_is_refused_and_unchanged(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "logs").mkdir()
    for output, message in (
        ("file", "that is a file, or a link to nothing; name a folder"),
        (".", "logs exists in that folder and would be overwritten; name another folder"),
    ):
        done = call_here("gpu_check", "stages=[machine]", "device=cpu", f"output={tmp_path / output}")
        assert done.returncode == 1
        assert done.stderr.decode() == f"error: output={tmp_path / output}: {message}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "logs"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("stages=[kernel]", "stages=[kernel]: Invalid value 'kernel', expected one of [machine, kernels, "),
        ("stage=kernels", "unknown option stage; did you mean stages?"),
        ("minutes=0", "minutes (0.0) must be at least 0.1 and at most 1000"),
        ("threads=-1", "threads (-1) must be at least 0 and at most "),
        ("output=''", "output is empty: name a folder for the results"),
    ],
)
def test_a_wrong_option_is_answered_before_any_work(option, message):
    done = call_here("gpu_check", option)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(f"error: {message}")


def test_a_device_that_is_missing_is_answered_before_any_stage(tmp_path):
    done = call_here("gpu_check", "device=cuda", f"output={tmp_path}")
    if done.returncode == 0:
        pytest.skip("there is a GPU")
    assert done.stderr.decode().startswith("error: device=cuda, but PyTorch finds no GPU here")
    assert not any(tmp_path.glob("*"))


def test_every_stage_is_explained_by_the_command_and_by_its_page():
    text = (REPOSITORY / "docs" / "gpu_check.md").read_text(encoding="utf-8")
    explained = re.findall(r"^(\w+) +\S", inspect.getdoc(GpuCheckConfig), re.MULTILINE)
    options = [option.name for option in dataclasses.fields(GpuCheckConfig)]
    assert explained[1:] == [*StageName, *(name for name in options if name != "device")]
    assert re.findall(r"^\| `(\w+)` +\|", text, re.MULTILINE) == list(StageName) == list(command.STAGES)


# in one process: the modules of training and decoding, then the stages without any other
BLOCKED = """
import importlib.abc, sys
import torch, translate.train, translate.decode
torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # as training: it imports PyTorch's compiler
known = {name.partition(".")[0] for name in sys.modules} | set(sys.stdlib_module_names)

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] not in known:
            raise ModuleNotFoundError(f"{name} is not there")

sys.meta_path.insert(0, Refuse())
try:
    import pytest
except ModuleNotFoundError:
    import translate.gpu_check.__main__ as command
    from translate.gpu_check import decoding, kernels, speed, timing, updates
    kernels.WIDTHS, decoding.UPDATES, decoding.SENTENCES = (32,), 10, 10
    updates.combinations, decoding.ARCHITECTURES = lambda: iter([("lstm", {})]), ["lstm"]
    timing.SECONDS_ON_CPU, speed.TOKENS_ON_CPU = 0.01, (128,)
    sys.argv = ["gpu_check", f"output={sys.argv[1]}", "device=cpu", "corpus=nowhere"]
    command.run_command("gpu_check", command.GpuCheckConfig, command.gpu_check)
"""


def test_all_stages_run_with_the_modules_of_training_and_decoding_alone(tmp_path):
    words = [sys.executable, "-W", "ignore", "-c", BLOCKED, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, cwd=REPOSITORY, env=environment(), timeout=500)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    stages = json.loads((tmp_path / "gpu_check.json").read_text())["stages"]
    skipped = {stage["name"] for stage in stages if stage["verdict"] == "skipped"}
    assert len(stages) == len(StageName)
    assert skipped == {"memory", "compile", "hypotheses", "corpus"}


def test_one_stage_in_place_of_a_list_is_said():
    process = call_here("gpu_check", "stages=machine")
    assert process.returncode == 1
    assert process.stderr.decode() == "error: stages=machine: a list is written stages=[machine]\n"
