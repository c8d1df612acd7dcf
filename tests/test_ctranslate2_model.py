"""The cached conversion of a model, and what is refused before it is loaded."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from tempfile import gettempdir

import pytest

from ctranslate2_models import (
    CPU,
    assert_equal,
    engine_of,
    native_of,
    save,
    searchable_model,
    small_tokenizer,
    some_sentences,
)
from translate.checkpoint import load_model
from translate.decoding.config import SearchConfig
from translate.device import Device, Precision
from translate.errors import UserError
from translate.exporting.ctranslate2_converter import export_ctranslate2
from translate.exporting.ctranslate2_model import converted_model
from translate.tokenizer import Tokenizer

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")

import ctranslate2


@pytest.fixture(scope="module")
def joint() -> Tokenizer:
    return small_tokenizer(joint=True)


def test_conversion_is_cached_until_the_weights_change(tmp_path, joint):
    config, sentences = SearchConfig(length_penalty=0.0), some_sentences(joint)
    model, shape = searchable_model(joint, seed=1, end=1.0)
    directory = save(model, shape, joint, tmp_path / "run" / "best")
    first = engine_of(tmp_path / "run").search(sentences, config)
    converted = converted_model(directory).directory / "model.bin"
    assert directory not in converted.parents
    time = converted.stat().st_mtime_ns
    assert_equal(engine_of(directory).search(sentences, config), first)
    assert converted.stat().st_mtime_ns == time

    other, _ = searchable_model(joint, seed=2, end=1.0)
    save(other, shape, joint, directory)
    second = engine_of(directory).search(sentences, config)
    assert second != first
    assert_equal(second, native_of(other).search(sentences, config))


def test_conversion_inside_a_model_folder_is_not_used(tmp_path, joint):
    """As earlier versions kept it: in the model's folder, with a note of what it was made from."""
    config, sentences = SearchConfig(length_penalty=0.0), some_sentences(joint)
    model, shape = searchable_model(joint, seed=1, end=1.0)
    directory = save(model, shape, joint, tmp_path / "model")
    kept = converted_model(directory).directory
    other, _ = searchable_model(joint, seed=2, end=1.0)
    stranger = converted_model(save(other, shape, joint, tmp_path / "other")).directory
    for folder in (directory / "ctranslate2", directory):
        folder.mkdir(exist_ok=True)
        (folder / "model.bin").write_bytes((stranger / "model.bin").read_bytes())
    assert converted_model(directory).directory == kept
    assert_equal(engine_of(directory).search(sentences, config), native_of(model).search(sentences, config))


@pytest.mark.parametrize("damage", ["cut", "flipped", "checksums", "added", "removed"])
def test_damaged_conversion_is_repeated(tmp_path, joint, caplog, damage):
    config, sentences = SearchConfig(length_penalty=0.0), some_sentences(joint)
    model, shape = searchable_model(joint, seed=1, end=1.0)
    directory = save(model, shape, joint, tmp_path / "model")
    kept = converted_model(directory).directory
    content = (kept / "model.bin").read_bytes()
    if damage == "cut":
        (kept / "model.bin").write_bytes(content[:1000])
    elif damage == "flipped":
        (kept / "model.bin").write_bytes(content[:-1] + bytes([content[-1] ^ 0x80]))
    elif damage == "checksums":
        (kept / "checksums.json").write_text("{")
    elif damage == "added":
        (kept / "vmap.txt").write_text("")
    else:
        (kept / "config.json").unlink()
    assert_equal(engine_of(directory).search(sentences, config), native_of(model).search(sentences, config))
    assert f"{kept} is damaged (" in caplog.text
    assert (kept / "model.bin").read_bytes() == content


def test_conversions_without_use_are_removed(tmp_path, joint, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setenv("TRANSLATE_CACHE", str(tmp_path / "cache"))
    kept = []
    for seed, days in ((1, 200), (2, 10), (3, 0)):
        model, shape = searchable_model(joint, seed=seed)
        directory = save(model, shape, joint, tmp_path / f"model{seed}")
        kept.append(converted_model(directory).directory)
        os.utime(kept[-1], (time.time() - days * 86400,) * 2)
        (tmp_path / "cache" / "ctranslate2-mine").mkdir(exist_ok=True)
        os.utime(tmp_path / "cache" / "ctranslate2-mine", (0, 0))
    assert [folder.exists() for folder in kept] == [False, True, True]
    assert f"{kept[0]} is removed: not used for 200 days" in caplog.text
    assert (tmp_path / "cache" / "ctranslate2-mine").exists()
    used = kept[1].stat().st_mtime
    converted_model(tmp_path / "model2")
    assert kept[1].stat().st_mtime > used


@contextmanager
def without_root() -> Iterator[None]:
    """Run as an unprivileged user: root may write everywhere."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_unwritable_cache_converts_each_time(tmp_path, joint, monkeypatch, caplog):
    model, shape = searchable_model(joint)
    directory = save(model, shape, joint, tmp_path / "model")
    expected = engine_of(directory).search([(4, 5)], SearchConfig())
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o555)
    monkeypatch.setenv("TRANSLATE_CACHE", str(cache))
    for folder in takewhile(lambda folder: folder != Path(gettempdir()), (tmp_path, *tmp_path.parents)):
        folder.chmod(0o755)
    with without_root():
        engine = engine_of(directory)
        assert_equal(engine.search([(4, 5)], SearchConfig()), expected)
        del engine
    assert not list(cache.iterdir())
    assert "cannot be written; the model is converted for this time only" in caplog.text


def test_damaged_export_raises_a_user_error(tmp_path, joint):
    model, shape = searchable_model(joint)
    exported = tmp_path / "exported"
    export_ctranslate2(load_model(save(model, shape, joint, tmp_path / "model"), device=CPU), exported)
    (exported / "model.bin").write_bytes((exported / "model.bin").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"exported: model\.bin has 1,000 bytes instead of [\d,]+: copy it again"):
        engine_of(exported)
    (exported / "checksums.json").unlink()  # as in an export of an earlier version
    with pytest.raises(UserError, match="CTranslate2 cannot load the model"):
        engine_of(exported).search([(5, 6)], SearchConfig())
    (exported / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        engine_of(exported)


def test_missing_devices_precisions_and_packages_raise_user_errors(tmp_path, joint, monkeypatch):
    model, shape = searchable_model(joint)
    directory = save(model, shape, joint, tmp_path / "model")
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda device: {"float32", "int8"})
    with pytest.raises(UserError, match=r"precision=bf16: .* it supports fp32, int8"):
        engine_of(directory, precision=Precision.bf16)
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    with pytest.raises(UserError, match="device=cuda, but CTranslate2 finds no GPU"):
        engine_of(directory, device=Device.cuda)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UserError, match=r"pip install 'translate-seq2seq\[ctranslate2\]'"):
        engine_of(directory)
