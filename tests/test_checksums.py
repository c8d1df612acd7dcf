"""A folder's files are compared with their checksums: every difference is named, older folders pass."""

from __future__ import annotations

import errno
import json
import pickle
from pathlib import Path

import pytest

from ctranslate2_models import CPU, random_model, save, small_tokenizer
from translate import checksums
from translate.checkpoint import load_model
from translate.checksums import CHECKSUMS, DamagedError, finding, verify
from translate.errors import UserError
from translate.files import sha256
from translate.folders import building, remove_directory, replaced_directory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with replaced_directory(tmp_path / "folder", owned=["one", "two"]) as new:
        (new / "one").write_bytes(b"x" * 1000)
        (new / "two").write_bytes(b"y" * 2000)
    return tmp_path / "folder"


def test_every_file_has_its_size_and_sha256(folder):
    stored = json.loads((folder / CHECKSUMS).read_text())
    assert stored == {
        name: {"bytes": size, "sha256": sha256(folder / name)} for name, size in (("one", 1000), ("two", 2000))
    }
    assert verify(folder, complete=True) == {name: entry["sha256"] for name, entry in stored.items()}


def flip(path: Path) -> None:
    """Change one bit; size and times stay."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "two").write_bytes(b"y" * 999), "two has 999 bytes instead of 2,000"),
        (lambda folder: (folder / "two").write_bytes(b"y"), "two has 1 byte instead of 2,000"),
        (lambda folder: (folder / "one").unlink(), "one is missing"),
        (lambda folder: flip(folder / "one"), r"one differs from what was written \(SHA-256\)"),
        (lambda folder: (folder / CHECKSUMS).write_text(""), "checksums.json is damaged"),
        (lambda folder: (folder / CHECKSUMS).write_text('{"one": {"bytes": 1000}}'), "checksums.json is damaged"),
        (lambda folder: (folder / CHECKSUMS).write_text('{"../one": "00"}'), "checksums.json is damaged"),
        (lambda folder: (folder / CHECKSUMS).write_text('{"..": "00"}'), "checksums.json is damaged"),
    ],
)
def test_each_difference_is_named(folder, damage, message):
    damage(folder)
    with pytest.raises(DamagedError, match=rf"folder: {message}$") as error:
        verify(folder)
    assert finding(folder) == error.value.finding


def test_sizes_alone_are_compared_without_reading(folder, monkeypatch):
    monkeypatch.setattr(checksums, "sha256", lambda path: pytest.fail(f"{path} was read"))
    verify(folder, complete=True, contents=False)
    (folder / "two").write_bytes(b"")
    with pytest.raises(DamagedError, match="two has 0 bytes"):
        verify(folder)  # the cheap test comes first


def test_a_disk_that_cannot_read_is_damage_and_missing_rights_are_not(folder, monkeypatch):
    def fail(path: Path) -> str:
        raise OSError(number, "no", str(path))

    monkeypatch.setattr(checksums, "sha256", fail)
    number = errno.EIO
    assert finding(folder) == "one cannot be read: no"
    number = errno.EACCES
    with pytest.raises(PermissionError):
        finding(folder)


def test_folders_of_earlier_versions_and_files_of_the_user_pass(folder):
    (folder / "notes.txt").write_text("precious")
    verify(folder)
    assert finding(folder) == f"notes.txt is not listed in {CHECKSUMS}"
    (folder / CHECKSUMS).write_text(json.dumps({"one": sha256(folder / "one")}))  # as in exports of earlier versions
    assert verify(folder) == {"one": sha256(folder / "one")}
    (folder / CHECKSUMS).unlink()
    (folder / "one").unlink()
    assert verify(folder) == {}
    assert finding(folder) == f"{CHECKSUMS} is missing"


def test_checksums_leave_with_the_files_that_they_are_of(folder):
    remove_directory(folder, owned=["one", "two"])
    assert not folder.exists()


def test_a_flipped_bit_in_a_cache_is_found_once_and_mended(tmp_path, caplog):
    def build(*, contents: bool = True) -> None:
        with building(tmp_path / "entry", option="data.cache", waiting_for="build", contents=contents) as new:
            if new is not None:
                (new / "file").write_bytes(b"whole")

    build()
    flip(tmp_path / "entry" / "file")
    build(contents=False)  # as a second process, after the first has compared contents
    assert not caplog.text
    build()
    assert "entry is damaged (file differs from what was written (SHA-256)): it is made again" in caplog.text
    assert (tmp_path / "entry" / "file").read_bytes() == b"whole"


def test_errors_of_damage_reach_other_processes():
    error = pickle.loads(pickle.dumps(DamagedError(Path("folder"), "b is missing")))
    assert (str(error), error.finding) == ("folder: b is missing", "b is missing")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tokenizer = small_tokenizer(joint=True)
    return save(*random_model(tokenizer), tokenizer, tmp_path / "model")


@pytest.mark.parametrize("name", ["weights.safetensors", "model.yaml", "manifest.json", "tokenizer.model"])
def test_a_flipped_bit_in_a_model_is_named(directory, name):
    flip(directory / name)
    with pytest.raises(UserError, match=rf"model: {name} differs from what was written \(SHA-256\): copy it again"):
        load_model(directory, device=CPU)


def test_an_edited_model_is_accepted_as_the_message_says(directory):
    path = directory / "model.yaml"
    path.write_text(path.read_text().replace("dropout: 0.1", "dropout: 0.25"))
    with pytest.raises(UserError, match=rf"on purpose, delete {directory / CHECKSUMS} to have it accepted"):
        load_model(directory, device=CPU)
    (directory / CHECKSUMS).unlink()
    load_model(directory, device=CPU)
