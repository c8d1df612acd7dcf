"""A decode that was killed continues where it was, and gives the file that one without a kill gives."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

import translate.folders
import translate.output
from forked import Forked, fork_command
from in_process import call_here
from small_disks import remove_disk, resize_disk, small_disk
from trained_model import trained_model
from translate.errors import UserError
from translate.output import open_pieces

ENGINES = [
    "native",
    pytest.param("ctranslate2", marks=pytest.mark.skipif(not find_spec("ctranslate2"), reason="extra")),
]
NULL = os.open(os.devnull, os.O_RDWR)


@pytest.fixture(scope="module")
def model() -> Path:
    return trained_model()


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 20 lines; forked processes have them as well."""
    monkeypatch.setattr("translate.text.WINDOW", 20)


def words(model: Path, output: Path, *more: str) -> list[str]:
    source = output.parent / "in"
    if not source.exists():
        lines = (model.parent / "corpus/train.src").read_text().splitlines()[:210]
        lines[5] = ""
        source.write_text("\n".join(lines))  # a last line without an end
    return [f"model={model}", f"input={source}", f"output={output}", "threads=1", "workers=1", "resume=true", *more]


def decode(arguments: list[str], **settings) -> Forked:
    return fork_command("decode", *arguments, stdin=NULL, stdout=NULL, stderr=NULL, **settings)


def kill_after(child: Forked, condition: Callable[[], bool]) -> None:
    child.wait_until(condition)
    child.send(signal.SIGKILL)
    assert child.end() == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("engine", ENGINES)
def test_killed_decode_gives_the_uninterrupted_file(model, tmp_path, engine):
    search = [f"engine={engine}", "workers=2", "search.beam_size=3", "search.n_best=3"]
    plain = words(model, tmp_path / "plain", *search, "resume=false")
    assert call_here("decode", *plain).returncode == 0
    arguments, folder = words(model, tmp_path / "out", *search), tmp_path / "out.resume"
    for pieces in (1, 4, 7):
        kill_after(decode(arguments), lambda: any(folder.glob(f"piece-{pieces:08}-*")))  # noqa: B023
        assert not (tmp_path / "out").exists()
    begun = len([path for path in folder.glob("piece-*") if path.suffix != ".partial"])
    # options for speed may change; CTranslate2's scores differ by them in the last digit
    other = ["batch_tokens=500", "workers=1"] if engine == "native" else []
    process = call_here("decode", *arguments, *other)
    assert process.returncode == 0, process.stderr.decode()
    shown = process.stderr.decode()
    assert f"continuing after {20 * begun} lines that were translated before" in shown
    assert f"{210 - 20 * begun} lines in " in shown
    assert (tmp_path / "out").read_bytes() == (tmp_path / "plain").read_bytes()
    assert names(tmp_path) == ["in", "out", "plain"]


def kill_self(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (translate.output.shutil, "copyfileobj"),
        (translate.output, "remove_directory"),
        (translate.folders.shutil, "rmtree"),
    ],
)
def test_kill_at_the_end_loses_nothing(model, tmp_path, module, function):
    """While the pieces are joined, before their folder is removed, and after it was renamed for that."""
    (tmp_path / "out.gz").symlink_to("real.gz")
    plain = words(model, tmp_path / "plain.gz", "resume=false")
    assert call_here("decode", *plain).returncode == 0
    arguments = words(model, tmp_path / "out.gz")
    child = decode(arguments, before=lambda: setattr(module, function, kill_self))
    assert child.end() == -signal.SIGKILL
    assert call_here("decode", *arguments).returncode == 0
    assert (tmp_path / "real.gz").read_bytes() == (tmp_path / "plain.gz").read_bytes()
    assert names(tmp_path) == ["in", "out.gz", "plain.gz", "real.gz"]


def test_other_settings_do_not_mix_with_what_is_there(model, tmp_path):
    arguments, folder = words(model, tmp_path / "out"), tmp_path / "out.resume"
    kill_after(decode(arguments), lambda: any(folder.glob("piece-00000002-*")))
    before = {path.name: path.read_bytes() for path in folder.glob("[kp]*")}
    for change, name in (
        (["search.beam_size=2"], "search.beam_size"),
        (["search.n_best=2"], "search.n_best"),
        (["precision=fp32"], "precision"),
        ([f"input={model.parent / 'corpus/train.src'}"], "input"),
    ):
        process = call_here("decode", *arguments, *change)
        assert process.returncode == 1
        message = process.stderr.decode().splitlines()[-1]
        assert message == (
            f"error: {folder} holds translations made with another {name}: repeat the former command to continue them, "
            "or remove that folder to start again"
        )
    assert {path.name: path.read_bytes() for path in folder.glob("[kp]*")} == before


def test_a_damaged_piece_and_those_after_it_are_made_again(tmp_path, capsys):
    parts = [b"a\n", b"b\n", b"c\n"]
    with pytest.raises(ZeroDivisionError):
        write_pieces(tmp_path / "out", *parts, b"d\n")
    [second] = tmp_path.glob("out.resume/piece-00000001-*")
    second.write_bytes(b"")
    with open_pieces(str(tmp_path / "out"), {"model": "a"}) as pieces:
        assert pieces.count == 1
        for content in parts[1:]:
            pieces.write(content)
            pieces.flush()
    assert (tmp_path / "out").read_bytes() == b"".join(parts)
    assert names(tmp_path) == ["out"]


def test_a_link_as_folder_of_pieces_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.resume").symlink_to("elsewhere")
    with pytest.raises(UserError, match=r"other files are there: out\.resume; move them away"):
        write_pieces(tmp_path / "out", b"a\n")
    assert names(tmp_path) == ["elsewhere", "out.resume"]


def test_only_files_can_be_continued(model, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for change in (
        "input=-",
        "output=-",
        f"input={tmp_path / 'pipe'}",
        f"output={tmp_path / 'pipe'}",
        "output=/dev/null",
    ):
        process = call_here("decode", *words(model, tmp_path / "out"), change)
        assert process.returncode == 1
        assert process.stderr.decode() == (
            "error: resume=true continues from one file into another, not from or into a pipe or a device\n"
        )
    assert names(tmp_path) == ["in", "pipe"]


def test_folder_of_a_user_and_one_in_use_are_left_alone(model, tmp_path):
    (tmp_path / "out.resume").mkdir()
    (tmp_path / "out.resume/thesis.tex").write_text("precious")
    process = call_here("decode", *words(model, tmp_path / "out"))
    assert process.returncode == 1
    assert "out.resume is where resume=true keeps what is translated, and other files are there: thesis.tex;" in (
        process.stderr.decode()
    )
    assert names(tmp_path / "out.resume") == ["thesis.tex"]
    child = decode(words(model, tmp_path / "second"))
    while not any(tmp_path.glob("second.resume/piece-00000001-*")):
        time.sleep(0.001)
    child.send(signal.SIGSTOP)
    process = call_here("decode", *words(model, tmp_path / "second"))
    assert f"second.resume: another process is at work on this output (pid {child.pid} on " in process.stderr.decode()
    assert "; that process is stopped: kill -CONT" in process.stderr.decode()
    child.send(signal.SIGCONT)
    assert child.end() == 0
    assert names(tmp_path) == ["in", "out.resume", "second"]


def test_full_disk_keeps_the_pieces(model, tmp_path):
    if not small_disk(tmp_path / "disk", 40):
        pytest.skip("mounting a small disk is not allowed here")
    disk = tmp_path / "disk"
    try:
        arguments = [*words(model, tmp_path / "out"), f"output={disk / 'out'}"]
        process = call_here("decode", *arguments)
        assert process.returncode == 1
        assert process.stderr.decode().splitlines()[-1] == (
            f"error: {disk / 'out'} cannot be written: No space left on device (0 bytes free); what was translated so "
            f"far is in {disk / 'out.resume'}; the same command continues after it"
        )
        resize_disk(disk, 400)
        process = call_here("decode", *arguments)
        assert process.returncode == 0
        assert "continuing after " in process.stderr.decode()
        assert call_here("decode", *words(model, tmp_path / "plain"), "resume=false").returncode == 0
        assert (disk / "out").read_bytes() == (tmp_path / "plain").read_bytes()
        assert names(disk) == ["out"]
    finally:
        remove_disk(disk)


def write_pieces(path: Path, *contents: bytes) -> None:
    """Fail at the last one."""
    with open_pieces(str(path), {"model": "a"}) as pieces:
        for content in contents[:-1]:
            pieces.write(content)
            pieces.flush()
        pieces.write(contents[-1] * (1 // 0))


def test_error_before_the_first_piece_leaves_no_folder(tmp_path, capsys):
    with pytest.raises(ZeroDivisionError):
        write_pieces(tmp_path / "out", b"a\n")
    assert names(tmp_path) == []
    with pytest.raises(ZeroDivisionError):
        write_pieces(tmp_path / "out", b"a\n", b"b\n")
    assert capsys.readouterr().err == (
        f"what was translated so far is in {tmp_path / 'out.resume'}; the same command continues after it\n"
    )
    with open_pieces(str(tmp_path / "out"), {"model": "a"}) as pieces:
        assert pieces.count == 1
        pieces.write(b"b\n")
        pieces.flush()
    assert (tmp_path / "out").read_bytes() == b"a\nb\n"
    assert names(tmp_path) == ["out"]
