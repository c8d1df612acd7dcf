"""Damaged and hostile folders of published models: an error that names the file, and no code of theirs is run."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import published_models as published
from in_process import call_here
from translate.errors import UserError
from translate.importing.huggingface import convert, local_model
from translate.importing.languages import with_languages
from translate.model_directory import LANGUAGE_TOKENS
from translate.models.transformer_config import TransformerConfig

pytest.importorskip("transformers", reason="the extra huggingface is not installed")
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def marian(tmp_path_factory) -> Path:
    return published.make_marian(tmp_path_factory.mktemp("published") / "marian")


@pytest.fixture
def folder(tmp_path, marian) -> Path:
    """A copy, of which a test damages a file."""
    copy = tmp_path / "model"
    copy.mkdir()
    for file in marian.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def configured(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return apply


def index(*files: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        content = {"weight_map": dict.fromkeys(("a", "b"), "model-1.safetensors") | dict(enumerate(files))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))

    return write


def renamed(name: str, content: bytes | None = None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)

    return change


NAME = "model.encoder.layers.0.fc1.weight"
CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "T5": (configured(model_type="t5", architectures=["T5ForConditionalGeneration"]), "T5.*those that can: Marian"),
    "BART": (configured(model_type="bart", architectures=["BartModel"]), "BartModel"),
    "no type": (configured(model_type=["x"]), "cannot be converted"),
    "text for a number": (configured(d_model="32"), "d_model"),
    "huge vocabulary": (configured(vocab_size=10**12), "vocab_size.*does not fit"),
    "huge number": (configured(d_model=10**300), "d_model"),
    "many layers": (configured(encoder_layers=900), "more layers than"),
    "negative size": (configured(encoder_ffn_dim=-5, decoder_ffn_dim=-5), "ffn_dim"),
    "odd heads": (configured(encoder_attention_heads=5, decoder_attention_heads=5), "config.json.*num_heads"),
    "long sentences": (configured(max_position_embeddings=10**7), "config.json, as options.*max_length"),
    "two sizes": (configured(encoder_ffn_dim=24), "encoder_ffn_dim.*differ"),
    "other activation": (configured(activation_function="gelu_new"), "gelu_new"),
    "pad beyond the vocabulary": (configured(pad_token_id=10**6), "pad_token_id"),
    "no config": (renamed("config.json", b"{"), "config.json: not JSON"),
    "no weights": (renamed("model.safetensors"), "no weights are there"),
    "cut weights": (renamed("model.safetensors", b"\x10\0\0\0\0\0\0\0{}"), "cannot be read"),
    "missing weight": (weights(lambda tensors: tensors.pop(NAME)), "fc1.weight is missing"),
    "additional weight": (weights(lambda tensors: tensors.update(more=torch.ones(2))), "more is no weight"),
    "other shape": (weights(lambda tensors: tensors.update({NAME: torch.ones(48, 31)})), "do not fit"),
    "uneven projections": (
        weights(lambda tensors: tensors.update({NAME.replace("fc1", "self_attn.q_proj"): torch.ones(32, 5)})),
        "have the shapes",
    ),
    "integers": (weights(lambda tensors: tensors.update({NAME: torch.ones(48, 32, dtype=torch.int64)})), "I64"),
    "no vocabulary": (renamed("vocab.json"), "vocab.json.*missing"),
    "vocabulary that is a list": (renamed("vocab.json", b"[]"), "vocab.json"),
    "vocabulary of texts": (renamed("vocab.json", b'{"a": "b"}'), "vocab.json.*id of"),
    "vocabulary with an id twice": (renamed("vocab.json", b'{"a": 3, "b": 3}'), "have the id 3"),
    "no pieces": (renamed("source.spm"), "source.spm.*missing"),
    "other pieces": (renamed("source.spm", b"not a model"), "source.spm: not a SentencePiece model"),
    "index to another folder": (index("../model.safetensors"), "is not the name of a file of weights"),
    "index to an absolute path": (index("/etc/passwd"), "is not the name of a file of weights"),
    "index to a missing file": (index("model-2.safetensors"), "model-2.safetensors is missing"),
}


@pytest.mark.parametrize("case", CASES)
def test_error_names_what_is_wrong(folder, tmp_path, case):
    damage, reason = CASES[case]
    damage(folder)
    with pytest.raises(UserError, match=reason) as error:
        convert(folder, tmp_path / "ours")
    assert len(str(error.value)) < 1000
    assert not (tmp_path / "ours").exists()


def test_endless_file_is_no_file_of_a_model(folder, tmp_path):
    (folder / "vocab.json").unlink()
    (folder / "vocab.json").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"vocab\.json"):
        convert(folder, tmp_path / "ours")


def test_links_as_in_the_cache_of_the_hub_are_followed(folder, tmp_path):
    (tmp_path / "snapshot").mkdir()
    for file in folder.iterdir():
        (tmp_path / "snapshot" / file.name).symlink_to(file)
    convert(tmp_path / "snapshot", tmp_path / "ours")


class Malicious:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch executed",)


def test_code_of_a_model_is_never_run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder / "model.safetensors").unlink()
    for protocol in (2, 4):
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Malicious()}, protocol=protocol))
        with pytest.raises(UserError, match="damaged"):
            convert(folder, tmp_path / "ours")
    assert not (tmp_path / "executed").exists()


def test_code_that_a_configuration_names_is_never_imported(folder, tmp_path, monkeypatch):
    configured(auto_map={"AutoModelForSeq2SeqLM": "evil.Model"}, trust_remote_code=True)(folder)
    (folder / "evil.py").write_text("open('executed', 'w')")
    monkeypatch.chdir(tmp_path)
    convert(folder, tmp_path / "ours")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "before PyTorch 1.6"])
def test_pickles_of_tensors_are_read(folder, tmp_path, is_archive):
    convert(folder, tmp_path / "first")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=is_archive)
    convert(folder, tmp_path / "second")
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_in_several_files_are_read(folder, tmp_path):
    convert(folder, tmp_path / "first")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {f"model-0000{part}-of-00002.safetensors": names[part - 1 :: 2] for part in (1, 2)}
    for file, own in files.items():
        save_file({name: tensors[name] for name in own}, folder / file)
    content = {"weight_map": {name: file for file, own in files.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))
    convert(folder, tmp_path / "second")
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_decoding_names_the_command_that_converts(folder, tmp_path):
    process = call_here("decode", f"model={folder}", f"output={tmp_path / 'out'}", stdin=b"x\n")
    assert process.returncode == 1
    assert f"python -m translate.convert model={folder}" in process.stderr.decode()


@pytest.mark.parametrize(
    ("languages", "message"), [(("", ""), "set source_language and"), (("x", "en"), "source_language=x")]
)
def test_conversion_names_its_own_options(languages, message):
    with pytest.raises(UserError, match=message) as error:
        with_languages(TransformerConfig(), {LANGUAGE_TOKENS: {"en": 1}}, languages, group="")
    assert "data." not in str(error.value)
    with pytest.raises(UserError, match=r"data\.source_language"):
        with_languages(TransformerConfig(), {LANGUAGE_TOKENS: {"en": 1}}, languages)


def test_misspelt_path_is_not_asked_for_on_the_hub(tmp_path):
    (tmp_path / "runs").mkdir()
    assert local_model(str(tmp_path / "runs" / "mine")) == tmp_path / "runs" / "mine"
