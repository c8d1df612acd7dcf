"""A run that an older version of the program began goes on with its own tokenizer and its own form of text."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from small_runs import composed
from translate.data.augmentation.text import AugmentationConfig
from translate.errors import UserError
from translate.files import to_plain
from translate.model_directory import read_origin
from translate.models.layers import Positions
from translate.models.transformer import Activation
from translate.text import normalise, write_lines
from translate.train import train
from translate.training.changes import find_changes

FIXTURE = Path(__file__).parent / "fixtures" / "older_run"
# what the older version printed when it continued the run of the fixture from step 20
LOSSES = {25: 3.593, 30: 3.571, 35: 3.534, 40: 3.523}
VALIDATION_LOSS = 3.525
OPTIONS = {
    "data": "text_files",
    "data.source_language": "xx",
    "data.target_language": "yy",
    "data.cleaning.max_tokens": 40,
    "tokenizer.vocab_size": 60,
    "tokenizer.byte_fallback": "false",
    "tokenizer.character_coverage": 1.0,
    "model.d_model": 16,
    "model.ffn_dim": 32,
    "model.num_heads": 2,
    "model.encoder_layers": 1,
    "model.decoder_layers": 1,
    "model.max_length": 40,
    "model.dropout": 0.1,
    "batch.tokens": 300,
    "optimizer.learning_rate": 5e-3,
    "schedule.warmup_steps": 3,
    "search": "greedy",
    "validation.every": 20,
    "validation.attention_maps": 0,
    "averaging.ema_decay": 0,
    "averaging.last": 0,
    "run.log_every": 5,
    "run.save_every": 20,
    "run.max_steps": 40,
    "run.keep": 2,
    "run.patience": 0,
    "compute.threads": 1,
    "compute.device": "cpu",
    "compute.precision": "fp32",
}


@pytest.fixture
def older_run(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURE, tmp_path / "older")
    return tmp_path / "older"


def options(folder: Path) -> list[str]:
    corpus = {
        f"data.{split}.{side}": folder / "corpus" / f"{split}.{end}"
        for split in ("train", "valid", "test")
        for side, end in (("source", "src"), ("target", "tgt"))
    }
    folders = {"data.cache": folder / "cache", "run.dir": folder / "run"}
    return [f"{key}={value}" for key, value in (OPTIONS | corpus | folders).items()]


def test_older_run_resumes_as_in_the_version_that_wrote_it(older_run: Path):
    tokenizer = (older_run / "run" / "tokenizer.model").read_bytes()
    train(composed(options(older_run)))
    log = (older_run / "run" / "train.log").read_text(encoding="utf-8")
    assert "continuing from step 20" in log
    losses = {int(step): float(loss) for step, loss in re.findall(r"step (\d+)  epoch \S+  loss (\S+)", log)}
    assert losses == pytest.approx(LOSSES, abs=2e-3)
    assert float(re.findall(r"step 40  valid .* loss (\S+)", log)[0]) == pytest.approx(VALIDATION_LOSS, abs=2e-3)
    assert (older_run / "run" / "tokenizer.model").read_bytes() == tokenizer
    assert "text_form" not in json.loads((older_run / "run" / "manifest.json").read_text(encoding="utf-8"))


def test_older_model_keeps_the_text_normalisation_of_its_training(older_run: Path):
    tokenizer, _ = read_origin(older_run / "run" / "best")
    line = "abc\u00a0de\u200bf"
    assert tokenizer.text_form == 1
    pieces = "".join(tokenizer.source_pieces(tokenizer.encode_source([line])[0]))
    assert pieces == "▁" + line
    assert normalise(line) == "abc def"


def test_older_run_with_different_data_is_reported_as_older(older_run: Path):
    write_lines(older_run / "corpus" / "train.src", ["another line"] * 220)
    with pytest.raises(UserError, match=r"was made by an older version of this program \(0\.1\.0") as error:
        train(composed(options(older_run)))
    assert "other data" not in str(error.value)


def test_replaced_tokenizer_is_refused(older_run: Path):
    path = older_run / "run" / "tokenizer.model"
    path.write_bytes(path.read_bytes() + b"\x12\x00")
    with pytest.raises(UserError, match="is not the one that the run began with"):
        train(composed(options(older_run)))


@pytest.mark.parametrize("size", ["tiny", "mini", "small", "base", "big"])
def test_older_run_keeps_the_model_that_its_command_made(tmp_path: Path, size: str):
    """A command without model options meant sinusoids and ReLU, in wider layers of as many weights."""
    config = composed(["recipe=fixed", f"model={size}"])
    width = {"tiny": 256, "mini": 1024, "small": 1024, "base": 2048, "big": 4096}[size]
    parts = {"positions": Positions.sinusoidal, "activation": Activation.relu, "ffn_dim": width}
    if size == "small":
        parts["num_heads"] = 4
    older = replace(config, model=replace(config.model, **parts))
    before = to_plain(older)
    del before["model"]["bias"], before["model"]["qk_norm"]
    found = find_changes(config, before, folder=tmp_path)
    assert found.settings.model == older.model
    assert not found.changes
    assert found.config["model"] == before["model"]  # again of an older version in the next session
    with pytest.raises(UserError, match=r"model\.bias: True there, False now"):
        find_changes(replace(config, model=replace(config.model, bias=False)), before, folder=tmp_path)
    with pytest.raises(UserError, match=r"model\.ffn_dim: .* there, 64 now"):
        find_changes(replace(config, model=replace(config.model, ffn_dim=64)), before, folder=tmp_path)


def test_run_with_four_heads_of_the_former_small_keeps_them(tmp_path: Path):
    """The preset had rotary positions before it had eight heads."""
    config = composed(["recipe=fixed", "model=small"])
    older = replace(config, model=replace(config.model, num_heads=4))
    before = to_plain(older)
    with pytest.raises(UserError, match=r"model\.num_heads: 4 there, 8 now"):  # chosen in this version
        find_changes(config, before, folder=tmp_path)
    del before["compute"]["fp8"]
    found = find_changes(config, before, folder=tmp_path)
    assert found.settings.model == older.model
    assert not found.changes
    assert found.config == before  # again of an older version in the next session


def test_run_of_this_version_does_not_keep_a_former_preset(tmp_path: Path):
    config = composed(["model=mini"])
    before = to_plain(replace(config, model=replace(config.model, positions=Positions.sinusoidal)))
    with pytest.raises(UserError, match=r"model\.positions: 'sinusoidal' there, 'rotary' now"):
        find_changes(config, before, folder=tmp_path)


def test_older_run_keeps_the_augmentation_that_its_experiment_had(tmp_path: Path):
    config = composed(["experiment=shipped"])
    assert config.augmentation.start
    before = to_plain(replace(config, augmentation=AugmentationConfig()))
    with pytest.raises(UserError, match=r"augmentation\.clauses: 0\.0 there"):
        find_changes(config, before, folder=tmp_path)
    del before["augmentation"]["start"]
    found = find_changes(config, before, folder=tmp_path)
    assert found.settings.augmentation == AugmentationConfig()
    assert found.config["augmentation"] == before["augmentation"]
    with pytest.raises(UserError, match=r"augmentation\.typos: 0\.0 there"):
        find_changes(replace(config, augmentation=AugmentationConfig(typos=0.1)), before, folder=tmp_path)
