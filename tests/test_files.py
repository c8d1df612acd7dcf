"""Files appear whole, and replace only what may be replaced."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from translate.errors import UserError
from translate.files import atomic_file, read_json, require_regular, sha256, write_json, write_text

REPOSITORY = Path(__file__).parent.parent


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run_python(code: str, **options) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **options)


def test_file_is_replaced_atomically_and_kept_after_an_error(tmp_path):
    path = tmp_path / "file"
    with atomic_file(path) as stream:
        stream.write(b"old")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), atomic_file(path) as stream:
        stream.write(b"new" * (1 // 0))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_concurrent_writers_do_not_mix(tmp_path):
    path = tmp_path / "file"
    with atomic_file(path) as first:
        with atomic_file(path) as second:
            for _ in range(10_000):
                first.write(b"first\n")
                second.write(b"second\n")
        assert path.read_bytes() == b"second\n" * 10_000
    assert path.read_bytes() == b"first\n" * 10_000


def test_user_files_and_links_named_partial_are_kept(tmp_path):
    (tmp_path / "a.partial").write_text("precious")
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "b.partial").symlink_to("victim")
    write_text(tmp_path / "a", "text")
    write_text(tmp_path / "b", "text")
    assert (tmp_path / "a.partial").read_text() == "precious"
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "b.partial").is_symlink()
    assert not (tmp_path / "b").is_symlink()


def test_symlink_is_kept_and_its_target_replaced(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "middle").symlink_to("target")
    (tmp_path / "link").symlink_to(tmp_path / "middle")
    (tmp_path / "dangling").symlink_to("made")
    write_text(tmp_path / "link", "new")
    write_text(tmp_path / "dangling", "new")
    assert (tmp_path / "target").read_text() == (tmp_path / "made").read_text() == "new"
    assert os.readlink(tmp_path / "link") == str(tmp_path / "middle")
    assert os.readlink(tmp_path / "dangling") == "made"


def test_a_loop_of_links_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UserError, match="a loop of symbolic links"):
        write_text(tmp_path / "a", "text")
    assert os.readlink(tmp_path / "a") == "b"


def test_permissions_follow_the_replaced_file_or_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "new", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o664)
    write_text(tmp_path / "new", "other text")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o664


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_protected_from_writing_is_not_replaced(tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "file").chmod(0o444)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "precious"


def test_error_names_the_file_and_not_the_temporary_one(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_text(tmp_path / "nowhere" / "file", "text")
    assert caught.value.filename == str(tmp_path / "nowhere" / "file")


def test_pipes_and_devices_are_written_directly(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    write_text(tmp_path / "pipe", "text")
    assert reader.communicate(timeout=10)[0] == b"text"
    write_text("/dev/null", "text")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_standard_output_that_is_a_file_is_appended_to_and_not_replaced(tmp_path):
    (tmp_path / "log").write_text("before\n")
    with (tmp_path / "log").open("ab") as log:
        process = run_python("from translate.files import *; write_text('/dev/stdout', 'text')", stdout=log)
        assert process.wait(timeout=60) == 0
    assert (tmp_path / "log").read_text() == "before\ntext"


def test_json_is_read_as_written_and_damage_is_named(tmp_path):
    write_json(tmp_path / "a.json", {"wörter": [1, None]})
    assert read_json(tmp_path / "a.json") == {"wörter": [1, None]}
    for content in ("", '{"half": ', "[]"):
        (tmp_path / "b.json").write_text(content)
        with pytest.raises(UserError, match=r"b\.json"):
            read_json(tmp_path / "b.json")
    assert sha256(tmp_path / "b.json") == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"  # of "[]"


def test_a_pipe_or_device_cannot_be_read_twice(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"data\.train\.source=.*pipe: a pipe cannot be read twice; write it to a file"):
        require_regular(tmp_path / "pipe", option="data.train.source")
    (tmp_path / "link").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="a device cannot be read twice"):
        require_regular(tmp_path / "link", option="data.train.source")
