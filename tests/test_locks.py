"""Locks between processes: one holder at a time, named to those who wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from translate.folders import building
from translate.locks import ProcessLock

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}

HOLD = """
import sys, time
from pathlib import Path
from translate.locks import ProcessLock
assert ProcessLock(Path(sys.argv[1])).acquire()
print("locked", flush=True)
time.sleep(600)
"""


def hold(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, env=ENVIRONMENT)
    assert process.stdout.readline() == b"locked\n"
    return process


def test_lock_names_its_owner_and_is_released_by_a_killed_process(tmp_path):
    process, lock = hold(tmp_path / ".lock"), ProcessLock(tmp_path / ".lock")
    try:
        assert not lock.acquire()
        assert lock.holder().startswith(f"pid {process.pid} on {os.uname().nodename}, since 20")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert lock.acquire()
    assert lock.holder().startswith(f"pid {os.getpid()} ")
    lock.release()


def test_lock_is_reentrant(tmp_path):
    outer, inner = ProcessLock(tmp_path / ".lock"), ProcessLock(tmp_path / ".lock")
    assert outer.acquire()
    assert inner.acquire()
    inner.release()
    code = f"from translate.locks import *; sys.exit(ProcessLock(Path({str(tmp_path / '.lock')!r})).acquire())"
    process = subprocess.run([sys.executable, "-c", f"import sys; {code}"], env=ENVIRONMENT, timeout=60)
    assert process.returncode == 0
    outer.release()
    hold(tmp_path / ".lock").kill()


def test_those_who_wait_are_told_of_a_stopped_holder(tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.setattr("translate.locks._LOOK_SECONDS", 0.05)
    process = hold(tmp_path / ".thing.lock")

    def disturb() -> None:
        wait_for("waiting", caplog)
        process.send_signal(signal.SIGSTOP)  # a stopped process keeps its lock
        wait_for("stopped", caplog)
        time.sleep(0.3)  # several looks at a holder that has not changed
        process.kill()

    disturbance = threading.Thread(target=disturb)
    disturbance.start()
    with building(tmp_path / "thing", option="data.cache", waiting_for="prepare the same data") as folder:
        assert folder is not None
        (folder / "file").touch()
    disturbance.join()
    process.communicate()
    first, second = caplog.messages
    known = f"waiting for another process to prepare the same data (pid {process.pid} on {os.uname().nodename}, since "
    assert first.startswith(known)
    assert second.startswith(known)
    assert first.endswith(":" + first[-3:])  # the time
    assert second.endswith(
        f"; that process is stopped: kill -CONT {process.pid} lets it go on, kill -9 {process.pid} ends it)"
    )
    assert (tmp_path / "thing/file").exists()


def wait_for(text: str, caplog: pytest.LogCaptureFixture) -> None:
    deadline = time.monotonic() + 30
    while text not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.02)


def test_message_repeats_rarely(tmp_path, monkeypatch):
    monkeypatch.setattr("translate.locks._LOOK_SECONDS", 0.01)
    monkeypatch.setattr("translate.locks._REPEAT_SECONDS", 0.2)
    process, reports = hold(tmp_path / ".lock"), []
    threading.Timer(0.5, process.kill).start()
    ProcessLock(tmp_path / ".lock").wait(reports.append)
    process.communicate()
    assert 2 <= len(reports) <= 3
    assert len(set(reports)) == 1
    ProcessLock(tmp_path / ".lock").release()


def test_the_note_of_an_ended_process_names_nobody(tmp_path):
    process, lock = hold(tmp_path / ".lock"), ProcessLock(tmp_path / ".lock")
    assert lock.holder().startswith(f"pid {process.pid} ")
    process.kill()
    process.communicate()
    assert lock.holder() == "pid unknown"
