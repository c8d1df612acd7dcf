"""Folders appear whole, replace only what this program made, and survive a kill at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from translate.errors import UserError
from translate.files import write_text
from translate.folders import (
    building,
    check_replaceable,
    claimed,
    interrupted,
    is_marked,
    mark,
    remove_directory,
    replaced_directory,
    restore_directory,
)

REPOSITORY = Path(__file__).parent.parent


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run_python(code: str, **options) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **options)


def fill(directory: Path, text: str) -> None:
    with replaced_directory(directory, owned=["one", "two"]) as new:
        (new / "one").write_text(text)
        (new / "two").write_text(text)


def test_foreign_files_of_a_replaced_folder_are_kept(tmp_path):
    fill(tmp_path / "best", "old")
    (tmp_path / "best" / "notes.txt").write_text("precious")
    (tmp_path / "best" / "photos").mkdir()
    (tmp_path / "best" / "photos" / "one").write_text("precious")
    fill(tmp_path / "best", "new")
    assert names(tmp_path / "best") == ["checksums.json", "notes.txt", "one", "photos", "two"]
    assert (tmp_path / "best" / "one").read_text() == "new"
    assert (tmp_path / "best" / "photos" / "one").read_text() == "precious"
    assert names(tmp_path) == ["best"]


def test_backup_folder_of_the_user_is_kept(tmp_path):
    fill(tmp_path / "best", "old")
    for name in ("best.old", "best.new", "best.backup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one").write_text("precious")
    fill(tmp_path / "best", "new")
    restore_directory(tmp_path / "best", owned=["one", "two"])
    for name in ("best.old", "best.new", "best.backup"):
        assert (tmp_path / name / "one").read_text() == "precious"


def test_symlink_to_a_folder_is_kept(tmp_path):
    fill(tmp_path / "elsewhere", "old")
    (tmp_path / "best").symlink_to("elsewhere")
    fill(tmp_path / "best", "new")
    assert (tmp_path / "best").is_symlink()
    assert (tmp_path / "elsewhere" / "one").read_text() == "new"
    assert names(tmp_path) == ["best", "elsewhere"]


def test_an_interrupted_replacement_is_finished_or_undone(tmp_path):
    best, owned = tmp_path / "best", ["one", "two"]
    fill(best, "old")
    (best / "notes.txt").write_text("precious")
    best.rename(tmp_path / "best.0123abcd.old")  # killed between the two renames
    fill(tmp_path / "best.4567cdef.new", "new")
    assert interrupted(tmp_path) == [best]
    restore_directory(best, owned=owned)
    assert (best / "one").read_text() == "old"
    assert names(tmp_path) == ["best"]

    best.rename(tmp_path / "best.0123abcd.old")  # killed after both
    fill(best, "new")
    restore_directory(best, owned=owned)
    assert (best / "one").read_text() == "new"
    assert (best / "notes.txt").read_text() == "precious"
    assert names(tmp_path) == ["best"]


REPLACE = """
import itertools, sys
from pathlib import Path
from translate.files import replaced_directory
for number in itertools.count():
    with replaced_directory(Path(sys.argv[1]), owned=["one", "two"]) as new:
        for name in ("one", "two"):
            (new / name).write_text(str(number) * 1000)
    print(number, flush=True)
"""


def test_kill_at_any_moment_leaves_a_complete_folder(tmp_path):
    moments, best = random.Random(0), tmp_path / "best"
    fill(best, "0")
    for _ in range(5):
        arguments = [sys.executable, "-c", REPLACE, str(best)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.communicate()
        restore_directory(best, owned=["one", "two"])
        assert names(tmp_path) == ["best"]
        assert names(best) == ["checksums.json", "one", "two"]
        assert (best / "one").read_text() == (best / "two").read_text() != ""


def test_only_files_of_the_project_are_removed(tmp_path):
    fill(tmp_path / "a", "text")
    remove_directory(tmp_path / "a", owned=["one", "two"])
    assert not (tmp_path / "a").exists()
    fill(tmp_path / "b", "text")
    (tmp_path / "b" / "notes.txt").write_text("precious")
    remove_directory(tmp_path / "b", owned=["one", "two"])
    assert names(tmp_path / "b") == ["notes.txt"]
    assert names(tmp_path) == ["b"]


def test_foreign_folder_is_not_replaceable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    patterns = {"complete": ["one"], "owned": ["one", "two"]}
    check_replaceable(tmp_path / "new" / "folder", **patterns)
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty", **patterns)
    fill(tmp_path / "ours", "text")
    check_replaceable(tmp_path / "ours", **patterns)
    (tmp_path / "ours" / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"output=.*ours: this folder is not replaced, because it holds thesis\.tex;"):
        check_replaceable(tmp_path / "ours", **patterns)
    (tmp_path / "ours" / "thesis.tex").unlink()
    (tmp_path / "ours").rename(tmp_path / "ours.0123abcd.old")  # killed between the two renames
    check_replaceable(tmp_path / "ours", **patterns)
    assert names(tmp_path) == ["empty", "ours"]
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "two").touch()
    with pytest.raises(UserError, match="it holds two"):
        check_replaceable(tmp_path / "half", **patterns)
    with pytest.raises(UserError, match="that is a file"):
        check_replaceable(tmp_path / "half" / "two", **patterns)
    for folder in (Path("."), Path(".."), Path("/"), Path("empty/..")):
        with pytest.raises(UserError, match="the current folder or a parent of it"):
            check_replaceable(folder, **patterns)


def test_claimed_folder_keeps_foreign_files(tmp_path):
    def write(folder: Path, content: str = "ours") -> None:
        with claimed(folder, ["a", "b"], kind="report", option="output"):
            write_text(folder / "a", content)
            write_text(folder / "b", str(1 / len(content)))

    write(tmp_path / "new")
    write(tmp_path / "new")
    assert names(tmp_path / "new") == ["a", "b"]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a").write_text("precious")
    with pytest.raises(UserError, match=r"output=.*own: a exists in that folder"):
        write(tmp_path / "own")
    assert (tmp_path / "own" / "a").read_text() == "precious"
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "half", "")
    write(tmp_path / "half")  # what a failed attempt has left is no obstacle
    assert names(tmp_path / "half") == ["a", "b"]


def test_a_marker_names_every_kind(tmp_path):
    mark(tmp_path, "run")
    mark(tmp_path, "sweep")
    assert is_marked(tmp_path, "run")
    assert is_marked(tmp_path, "sweep")
    assert not is_marked(tmp_path, "model")


def test_damaged_folder_is_rebuilt(tmp_path):
    for content in ("whole", "half"):
        with building(tmp_path / "thing", option="data.cache", waiting_for="build") as folder:
            if folder is not None:
                (folder / "file").write_text("whole")
        assert (tmp_path / "thing" / "file").read_text() == "whole"
        (tmp_path / "thing" / "file").write_text(content)
