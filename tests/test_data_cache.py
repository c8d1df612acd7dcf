"""Prepared data in the cache: found again, rebuilt where it is damaged, never made of text that changed meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from small_data import SOURCE, TARGET, TOKENIZER, cache_state, make_data, write_pairs
from translate.data import prepare as preparation
from translate.data.corpora import DataConfig
from translate.data.prepare import Prepared, prepare
from translate.data.report import data_report
from translate.errors import UserError
from translate.folders import building
from translate.text import write_lines
from translate.tokenizer_training import TokenizerConfig


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    return make_data(tmp_path, SOURCE, TARGET)


def all_pairs(prepared: Prepared) -> tuple[list[list[int]], list[list[int]]]:
    source, target = prepared.train.pairs(np.arange(len(prepared.train)))
    return [ids.tolist() for ids in source], [ids.tolist() for ids in target]


def test_second_preparation_reads_everything_from_the_cache(data: DataConfig):
    first = prepare(data, TOKENIZER)
    before = cache_state(data)
    second = prepare(data, TOKENIZER)
    assert cache_state(data) == before
    assert second.fingerprint == first.fingerprint
    assert second.cleaning == first.cleaning
    assert all_pairs(second) == all_pairs(first)


def test_files_of_other_names_but_the_same_content_are_found_in_the_cache(data: DataConfig, tmp_path: Path):
    first = prepare(data, TOKENIZER)
    before = cache_state(data)
    data.train = write_pairs(tmp_path / "copy", SOURCE, TARGET)
    assert prepare(data, TOKENIZER).fingerprint == first.fingerprint
    assert cache_state(data) == before


def test_every_change_of_the_data_changes_the_fingerprint(data: DataConfig, tmp_path: Path):
    fingerprints = [prepare(data, TOKENIZER).fingerprint]
    fingerprints.append(prepare(data, TokenizerConfig(vocab_size=499)).fingerprint)
    data.cleaning.max_tokens = 20
    fingerprints.append(prepare(data, TOKENIZER).fingerprint)
    data.cleaning.max_ratio = 3.0
    fingerprints.append(prepare(data, TOKENIZER).fingerprint)
    data.valid = write_pairs(tmp_path / "valid", SOURCE[:4], TARGET[:4])
    fingerprints.append(prepare(data, TOKENIZER).fingerprint)
    data.test = data.valid
    fingerprints.append(prepare(data, TOKENIZER).fingerprint)
    write_lines(data.train.source, [*SOURCE[:-1], "one changed line."])
    fingerprints.append(prepare(data, TOKENIZER).fingerprint)
    assert len(set(fingerprints)) == len(fingerprints)


def test_changed_tokenizer_reuses_the_cleaned_text(data: DataConfig):
    prepare(data, TOKENIZER)
    texts = {path: state for path, state in cache_state(data).items() if "/text-" in path}
    prepare(data, TokenizerConfig(vocab_size=450))
    assert {path: state for path, state in cache_state(data).items() if "/text-" in path} == texts


def test_files_of_a_killed_preparation_are_not_used(data: DataConfig):
    expected = all_pairs(prepare(data, TOKENIZER))
    for directory in list(Path(data.cache).iterdir()):
        if directory.is_dir():
            half = directory.with_name(f".{directory.name}.partial")
            directory.rename(half)
            for path in half.iterdir():
                path.write_bytes(path.read_bytes()[:7])
    assert all_pairs(prepare(data, TOKENIZER)) == expected
    assert not list(Path(data.cache).glob("*.partial"))


@pytest.mark.parametrize("damage", ["shorter", "empty", "missing", "flipped"])
def test_incomplete_cache_folder_is_rebuilt(data: DataConfig, damage: str, caplog):
    """As a full disk, a power failure or a removed file leaves it."""
    prepared = prepare(data, TOKENIZER)
    expected, report = all_pairs(prepared), data_report(data, prepared)
    files = [path for path in Path(data.cache).glob("*-*/*") if path.is_file()]
    assert len({path.parent for path in files}) >= 4
    for path in files:
        content = path.read_bytes()
        if damage == "missing":
            path.unlink()
        elif damage == "flipped":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        else:
            path.write_bytes(content[: len(content) // 2] if damage == "shorter" else b"")
        caplog.clear()
        prepared = prepare(data, TOKENIZER)
        assert all_pairs(prepared) == expected
        assert data_report(data, prepared) == report
        assert f"{path.parent} is damaged (" in caplog.text
        assert "it is made again" in caplog.text
        assert path.stat().st_size == len(content)


def test_a_preparation_killed_half_way_can_be_repeated(data: DataConfig, tmp_path: Path):
    expected = all_pairs(prepare(data, TOKENIZER))
    data.cache = f"{tmp_path}/killed"
    code = (
        "from translate.data.prepare import *; from translate.data.corpus import CorpusConfig\n"
        f"prepare(DataConfig(cache={data.cache!r}, train=CorpusConfig(source={data.train.source!r}, "
        f"target={data.train.target!r}), valid=CorpusConfig(source={data.valid.source!r}, "
        f"target={data.valid.target!r})), TokenizerConfig(vocab_size=500))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while process.poll() is None and not list(Path(data.cache).glob("text-*")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all_pairs(prepare(data, TOKENIZER)) == expected


def test_a_failed_build_leaves_nothing_and_a_finished_one_is_not_built_again(tmp_path: Path):
    target = tmp_path / "cache" / "thing"

    def fail() -> None:
        with building(target, option="data.cache", waiting_for="build") as folder:
            assert folder is not None
            (folder / "half").touch()
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert not target.exists()
    with building(target, option="data.cache", waiting_for="build") as folder:
        assert folder is not None
        assert not list(folder.iterdir())
        (folder / "whole").touch()
    assert (target / "whole").exists()
    with building(target, option="data.cache", waiting_for="build") as folder:
        assert folder is None


def test_complete_cache_may_be_read_only(data: DataConfig):
    expected = all_pairs(prepare(data, TOKENIZER))
    for lock in Path(data.cache).glob(".*.lock"):
        lock.unlink()
    assert all_pairs(prepare(data, TOKENIZER)) == expected
    assert not list(Path(data.cache).glob(".*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_cache_raises_a_user_error(data: DataConfig, tmp_path: Path):
    (tmp_path / "locked").mkdir(mode=0o500)
    data.cache = f"{tmp_path}/locked/cache"
    with pytest.raises(UserError, match=r"data\.cache: .* cannot be written"):
        prepare(data, TOKENIZER)


def test_file_at_the_cache_path_raises_a_user_error(data: DataConfig, tmp_path: Path):
    (tmp_path / "file").touch()
    data.cache = f"{tmp_path}/file"
    with pytest.raises(UserError, match=r"data\.cache: .* cannot be written"):
        prepare(data, TOKENIZER)


def read_another_text(data: DataConfig, monkeypatch: pytest.MonkeyPatch, *, function: str) -> None:
    """Between hashing and reading the text is another one; afterwards the old one is back, with its times."""
    original = getattr(preparation, function)
    path = Path(data.train.source if function == "write_clean_text" else data.valid.source)

    def read(*arguments, **options):
        before, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
        path.write_bytes(before.upper())
        found = original(*arguments, **options)
        path.write_bytes(before)
        os.utime(path, ns=times)
        return found

    monkeypatch.setattr(preparation, function, read)


def test_text_changed_while_read_is_not_cached(data: DataConfig, monkeypatch):
    expected = all_pairs(prepare(data, TOKENIZER))
    shutil.rmtree(data.cache)
    with monkeypatch.context() as patch:
        read_another_text(data, patch, function="write_clean_text")
        with pytest.raises(UserError, match=r"data\.train: the files have changed while they were read"):
            prepare(data, TOKENIZER)
    assert not list(Path(data.cache).glob("text-*"))
    assert all_pairs(prepare(data, TOKENIZER)) == expected


def test_validation_set_changed_while_read_raises_a_user_error(data: DataConfig, monkeypatch):
    read_another_text(data, monkeypatch, function="read_parallel_text")
    with pytest.raises(UserError, match=r"data\.valid: the files have changed while they were read"):
        prepare(data, TOKENIZER)


def test_report_on_changed_text_is_not_cached(data: DataConfig):
    prepared = prepare(data, TOKENIZER)
    write_lines(data.train.source, SOURCE[::-1])
    with pytest.raises(UserError, match=r"data\.train: the files have changed"):
        data_report(data, prepared)
    assert not list(Path(data.cache).glob("report-*"))
