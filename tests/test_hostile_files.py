"""Untrusted models, states and settings: refused with one line before anything is allocated, and no code is run."""

import json
import os
import pickle
import re
import struct
import time
import zipfile
from pathlib import Path

import pytest
import torch

from fuzzing.memory import MemoryGrowth
from fuzzing.readers import model_files
from in_process import call_here
from translate.checkpoint import load_model
from translate.decoding.search.config import search_of
from translate.decoding.segmentation import Splitting
from translate.errors import UserError
from translate.files import read_json, write_json
from translate.parsing import read_yaml
from translate.tensor_files import load_pickle, read_shapes
from translate.tokenizer import Tokenizer, pieces

CPU = torch.device("cpu")
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefghij", "bcdefghijk", strict=True)
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model directory of an earlier version, without checksums."""
    for name, content in model_files().items():
        if name != "checksums.json":
            (tmp_path / name).write_bytes(content)
    return tmp_path


def change(directory: Path, key: str, value: str) -> None:
    lines = (directory / "model.yaml").read_text().split("\n")
    changed = [f"{key}: {value}" if line.startswith(f"{key}:") else line for line in lines]
    (directory / "model.yaml").write_text("\n".join(changed))


def refused(directory: Path) -> str:
    """The message for a model that is refused within a second and 50 MB."""
    memory, started = MemoryGrowth(), time.process_time()
    with pytest.raises(UserError) as error:
        load_model(directory, device=CPU)
    assert time.process_time() - started < 2
    assert memory.megabytes < 50
    return str(error.value).replace(f"{directory}/", "")


def test_the_undamaged_model_loads(directory):
    model = load_model(directory, device=CPU).model
    assert model.target_embedding.tokens.weight.shape == (60, 16)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("d_model", "1000000000", "model.yaml: model.d_model (1000000000) must be at least 1 and at most"),
        ("d_model", "40000", "model.yaml: d_model (40,000) does not fit the weights, which have no dimension above"),
        ("encoder_layers", "1000000", "model.yaml: model.encoder_layers (1000000) must be at least 1 and at most"),
        ("encoder_layers", "300", "model.yaml: encoder_layers (300) does not fit the weights, which have 37 tensors"),
        ("max_length", "1000000000000", "model.yaml: model.max_length (1000000000000) must be at least 1 and at most"),
        ("max_length", "131073", "model.yaml: model.max_length (131073) must be at least 1 and at most 131072"),
        ("ffn_dim", "9" * 90, "model.yaml: ffn_dim (" + "9" * 90 + ") must be an integer"),
        ("ffn_dim", "1" * 200, "model.yaml, line 13: not a configuration: a number of more than 100 digits"),
        ("num_heads", "-4", "model.yaml: model.num_heads (-4) must be at least 1"),
        ("dropout", ".nan", "model.yaml: dropout (nan) must be a finite number"),
        ("encoder_layers", "2", "weights.safetensors: these weights do not fit"),
        ("d_model", "60", "weights.safetensors: these weights do not fit"),
    ],
)
def test_sizes_are_compared_with_the_weights_before_a_model_is_built(directory, key, value, message):
    change(directory, key, value)
    assert refused(directory).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "model.yaml, line 7: not a configuration: more than 1,000,000 values, aliases written out"),
        ("[" * 100_000, "model.yaml, line 1: not a configuration: nested more than 50 deep"),
        ("&a [*a]", "model.yaml, line 1: not a configuration: the alias *a inside of what it stands for"),
        ("a: 1\na: 2", "model.yaml, line 2: not a configuration: the key a a second time"),
        ("a: !!python/object/apply:os.system ['true']", "model.yaml, line 1: not a configuration: the tag"),
        ("a: 2001-99-99", "model.yaml: not a configuration: month must be in 1..12"),
        ("a\0b: 1", "model.yaml: not a configuration: unacceptable character"),
        ('a: "\\ud800"', "model.yaml: not a configuration: 'utf-8' codec can't encode"),
        ("architecture: " + "x" * 10**6, "model.yaml: architecture 'xxx"),
    ],
)
def test_yaml_is_read_within_bounds(directory, text, message):
    (directory / "model.yaml").write_text(text)
    found = refused(directory)
    assert found.startswith(message)
    assert len(found) < 1000


def test_settings_in_other_encodings_are_refused_and_a_byte_order_mark_is_not(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_bytes("a: 1\nb: é".encode("latin-1"))
    with pytest.raises(UserError, match=r"model\.yaml, line 2: 0xe9 is not UTF-8"):
        read_yaml(path)
    path.write_bytes("\ufeffa: é".encode())
    assert read_yaml(path) == {"a": "é"}
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"more than 4,194,304 bytes"):
        read_yaml(path)


@pytest.mark.parametrize("entry", ["source_language", "tags", "tag", "untagged_source", "sentences_per_line", "split"])
def test_entries_of_a_manifest_of_another_type_are_refused(directory, entry):
    manifest = read_json(directory / "manifest.json")
    for value in (None, -1, 1.5, {}, [5], [[]]):
        write_json(directory / "manifest.json", manifest | {entry: value})
        with pytest.raises(UserError, match=rf"manifest\.json: {entry}"):
            Splitting.of_model(load_model(directory, device=CPU).manifest)


def test_a_search_of_a_manifest_is_checked_like_one_of_the_command_line():
    for search in (5, [], {"beam_size": "x"}, {"beam_size": -1}, {"method": "magic"}, {"length_penalty": None}):
        with pytest.raises(UserError, match=r"manifest\.json: search"):
            search_of({"search": search})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "digits"),
        ('{"a": 1, "a": 2}', "the key a twice in one object"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ("[1]", "a JSON object is expected here, found list"),
    ],
)
def test_json_of_a_manifest_is_read_within_bounds(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=f"manifest.json: .*{message}"):
        read_json(tmp_path / "manifest.json")


def with_header(directory: Path, change_header) -> Path:
    """The weights, their header changed."""
    path = directory / "weights.safetensors"
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    change_header(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[end:])
    return path


def first(header):
    return header["decoder.layers.0.attention_norm.bias"]


@pytest.mark.parametrize(
    ("change_header", "message"),
    [
        (
            lambda header: first(header).update(shape=[-1, 4]),
            "invalid value: integer `-1`|InvalidHeader",
        ),
        (lambda header: first(header).update(dtype="Q7"), "unknown variant `Q7`|InvalidHeader"),
        (lambda header: first(header).update(dtype="I32"), "attention_norm.bias is of I32, expected F64, F32, BF16"),
        (
            lambda header: first(header).update(data_offsets=[0, 4]),
            "invalid shape, data type|TensorInvalidInfo",
        ),
        (lambda header: header.update(x={**first(header)}), "offset for tensor|InvalidOffset"),
        (lambda header: header.update(x={"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}), "x is empty"),
        (lambda header: first(header).update(shape=[2**63, 2**63]), "overflow|ValidationOverflow"),
    ],
)
def test_a_hostile_header_of_weights_is_refused(directory, change_header, message):
    with_header(directory, change_header)
    found = refused(directory)
    assert found.startswith("weights.safetensors")
    assert re.search(message, found)  # safetensors 0.4 names the kind of error alone


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, 100_000_000])
def test_a_header_of_weights_without_end_is_not_read(tmp_path, size):
    (tmp_path / "weights").write_bytes(struct.pack("<Q", size) + b"{}")
    with pytest.raises(UserError, match=rf"their header would have {size:,} bytes"):
        read_shapes(tmp_path / "weights")


def test_a_tokenizer_that_is_damaged_or_of_another_kind_is_refused(directory):
    model = (directory / "tokenizer.model").read_bytes()
    words = [piece.text.encode() for piece in pieces(model)]
    word = words[10]
    [twin] = [other for other in words[11:] if len(other) == len(word)][:1]
    field = b"\n%c" % len(word)  # in front of a piece
    twins = model.replace(field + word, field + word[:-1] + b"\xff").replace(field + twin, field + word[:-1] + b"\xff")
    for content, message in [
        (twins, "not a SentencePiece model, or a damaged one"),  # SentencePiece's own message is not UTF-8
        (model.replace(word, word[:-1] + b"\xff", 1), r"piece 10 is not UTF-8: b'"),
        (model[:100], "not a SentencePiece model"),
        (model.replace(b"\x18\x03", b"\x18\x01", 1), r"have the ids \(-1, 1, 2, 3\) there, expected 0 to 3"),
    ]:
        (directory / "tokenizer.model").write_bytes(content)
        with pytest.raises(UserError, match=rf"tokenizer\.model: .*{message}"):
            Tokenizer.load(directory)
    (directory / "tokenizer.model").unlink()
    os.mkfifo(directory / "tokenizer.model")
    with pytest.raises(UserError, match=r"tokenizer\.model: that is a pipe"):
        Tokenizer.load(directory)


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_that_runs_code_does_not_run_it(tmp_path):
    torch.save({"x": Harmful(tmp_path / "owned")}, tmp_path / "training.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Harmful(tmp_path / "owned")))
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    for name in ("training.pt", "plain.pt", "bomb.pt"):
        with pytest.raises(UserError, match=rf"{name}: (the file is damaged|it is compressed)"):
            load_pickle(tmp_path / name)
    assert not (tmp_path / "owned").exists()


def test_decode_refuses_a_hostile_model_with_one_line(directory, tmp_path):
    """M25, through the command: 46 s, 0.9 GB and 226 MB of message before."""
    (directory / "model.yaml").write_text(LAUGHS)
    result = call_here("decode", f"model={directory}", "threads=1", stdin=b"3 sheep\n")
    assert result.returncode == 1
    assert result.stderr.count(b"\n") == 1
    assert b"more than 1,000,000 values" in result.stderr


def test_decode_refuses_a_line_without_end(directory):
    """D80: memory grew without bound."""
    memory = MemoryGrowth()
    result = call_here("decode", f"model={directory}", "input=/dev/zero", "threads=1")
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"error: /dev/zero, line 1: more than 16,777,216 bytes and no line end" in result.stderr
    assert memory.megabytes < 150
