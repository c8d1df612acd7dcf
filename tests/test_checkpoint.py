"""Model directories: complete or refused, replaced whole or not at all."""

import json
import resource
import signal

import pytest
import safetensors.torch
import torch

from translate.batch import Tokens
from translate.checkpoint import load_model, read_config, save_model, weights_of
from translate.errors import UserError
from translate.folders import replaced_directory, restore_directory
from translate.models import Vocabularies, build_model
from translate.models.transformer import TransformerConfig
from translate.tokenizer_training import TokenizerConfig, train_tokenizer

CPU = torch.device("cpu")
LINES = [f"{number} sheep jump over the {number % 7} fences" for number in range(60)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TokenizerConfig(vocab_size=36, byte_fallback=False), LINES, LINES)


@pytest.fixture
def directory(tmp_path, tokenizer):
    """A model without checksums, as of an earlier version, or of a user who changes its files."""
    save(tmp_path / "model", tokenizer)
    (tmp_path / "model" / "checksums.json").unlink()
    return tmp_path / "model"


def save(path, tokenizer, seed=0):
    torch.manual_seed(seed)
    config = TransformerConfig(d_model=16, ffn_dim=32, num_heads=2, encoder_layers=1, decoder_layers=1)
    vocabularies = Vocabularies(tokenizer.source_vocab_size, tokenizer.target_vocab_size, shared=True)
    model = build_model(config, vocabularies).eval()
    save_model(path, weights=weights_of(model), config=config, tokenizer=tokenizer, manifest={"seed": seed})
    return model


def test_loaded_model_equals_the_saved_one(tmp_path, tokenizer):
    model = save(tmp_path / "model", tokenizer)
    loaded = load_model(tmp_path / "model", device=CPU)
    source = Tokens.pad([[*ids, 3] for ids in tokenizer.encode_source(LINES[:3])])
    with torch.no_grad():
        first, second = (m.step(torch.full((3,), 2), m.start(m.encode(source)))[0] for m in (model, loaded.model))
    assert torch.equal(first, second)
    assert loaded.manifest["seed"] == 0


@pytest.mark.parametrize("name", ["weights.safetensors", "model.yaml", "manifest.json", "tokenizer.model"])
def test_a_missing_file_is_named(directory, name):
    (directory / name).unlink()
    with pytest.raises(UserError, match=name):
        load_model(directory, device=CPU)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.yaml", "manifest.json", "tokenizer.model"])
def test_a_damaged_file_is_named(directory, name):
    (directory / name).write_bytes(b"\x00\xff not what it was")
    with pytest.raises(UserError, match=name):
        load_model(directory, device=CPU)


def test_a_tokenizer_of_another_model_is_refused(directory):
    other = train_tokenizer(TokenizerConfig(vocab_size=30, byte_fallback=False), LINES, LINES)
    other.save(directory)
    with pytest.raises(UserError, match=r"this tokenizer is not the one.*hash"):
        load_model(directory, device=CPU)


def test_missing_or_foreign_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load_model(tmp_path / "nowhere", device=CPU)
    with pytest.raises(UserError, match="no finished model"):
        load_model(tmp_path, device=CPU)


def test_run_folder_opens_the_best_model(directory):
    directory.rename(directory.parent / "best")
    assert load_model(directory.parent, device=CPU).directory.name == "best"


def test_configuration_cannot_execute_code(directory):
    text = (directory / "model.yaml").read_text(encoding="utf-8")
    (directory / "model.yaml").write_text(f"{text}_target_: os.system\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown key '_target_'"):
        load_model(directory, device=CPU)
    (directory / "model.yaml").write_text("!!python/object/apply:os.system ['true']\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"model\.yaml"):
        load_model(directory, device=CPU)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ffn_dim: 32.7", r"model\.yaml: ffn_dim \(32\.7\) must be an integer"),
        ("ffn_dim: true", r"model\.yaml: ffn_dim \(True\) must be an integer"),
        ("dropout: much", r"model\.yaml: dropout \('much'\) must be a number"),
        ("norm_order: middle", r"model\.yaml: norm_order \('middle'\) must be one of pre, post"),
        ("max_length: [12]", r"model\.yaml: max_length \(\[12\]\) must be an integer"),
    ],
)
def test_a_stored_setting_of_another_type_is_refused_and_not_converted(directory, line, message):
    change_settings(directory, line)
    with pytest.raises(UserError, match=message):
        load_model(directory, device=CPU)


def test_stored_text_is_refused_for_a_boolean(tmp_path):
    (tmp_path / "model.yaml").write_text("architecture: lstm\ninput_feeding: 'no'\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"model\.yaml: input_feeding \('no'\) must be true or false"):
        read_config(tmp_path / "model.yaml")


def test_stored_integer_is_accepted_for_a_float(directory):
    change_settings(directory, "dropout: 0")
    assert read_config(directory / "model.yaml").dropout == 0.0
    load_model(directory, device=CPU)


def change_settings(directory, line):
    """Replace the line of model.yaml with the same key."""
    key, path = line.partition(":")[0], directory / "model.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(f"{line if old.startswith(f'{key}:') else old}\n" for old in lines), encoding="utf-8")


OLDER_NAMES = [
    ("decoder.layers.0.attention_norm", "decoder.layers.0.around_self_attention.norm"),
    ("encoder.layers.0.attention_norm", "encoder.layers.0.around_attention.norm"),
    ("cross_norm", "around_cross_attention.norm"),
    ("ffn_norm", "around_feed_forward.norm"),
]


def test_a_model_with_the_parameter_names_of_earlier_versions_loads(directory):
    path = directory / "weights.safetensors"
    weights = safetensors.torch.load_file(path)
    expected = weights_of(load_model(directory, device=CPU).model)
    older = {}
    for name, weight in weights.items():
        for new, old in OLDER_NAMES:
            name = name.replace(new, old)
        older[name] = weight
    assert len(older.keys() - weights.keys()) == 10, "weights and biases of five norms"
    safetensors.torch.save_file(older, path)
    found = weights_of(load_model(directory, device=CPU).model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(weight, expected[name]) for name, weight in found.items())


def test_weights_of_other_sizes_are_refused(directory):
    text = (directory / "model.yaml").read_text(encoding="utf-8")
    (directory / "model.yaml").write_text(text.replace("ffn_dim: 32", "ffn_dim: 48"), encoding="utf-8")
    with pytest.raises(UserError, match=r"do not fit"):
        load_model(directory, device=CPU)


def test_the_manifest_holds_the_tokenizers_hash(directory, tokenizer):
    assert json.loads((directory / "manifest.json").read_text(encoding="utf-8"))["tokenizer"] == tokenizer.hash


def test_an_error_while_writing_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "folder"
    with replaced_directory(folder, owned=["file"]) as new:
        (new / "file").write_text("old", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), replaced_directory(folder, owned=["file"]) as new:
        (new / "file").write_text(str(1 / 0), encoding="utf-8")
    assert (folder / "file").read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_process_killed_between_the_renames_loses_nothing(tmp_path):
    folder = tmp_path / "folder"
    with replaced_directory(folder, owned=["file"]) as new:
        (new / "file").write_text("old", encoding="utf-8")
    folder.rename(tmp_path / "folder.old")
    (tmp_path / "folder.new").mkdir()
    restore_directory(folder, owned=["file"])
    assert (folder / "file").read_text(encoding="utf-8") == "old"


def test_a_full_disk_keeps_the_previous_model(directory, tokenizer):
    """A limit on file sizes stands for the full disk: writes fail in the same way."""
    before = (directory / "weights.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot be written.*stays"):
            save(directory, tokenizer, seed=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (directory / "weights.safetensors").read_bytes() == before
    load_model(directory, device=CPU)
