"""Sweeps over choices: those of a folder of one's own, and those that the machine cannot train."""

from __future__ import annotations

import pytest

from in_process import call_here
from small_runs import options, write_corpus
from translate.training.stopping import read_trials


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=100)


def sweep(corpus, folder, *arguments, **changes):
    return call_here("train", "--multirun", *options(corpus, folder, **changes), *arguments)


@pytest.fixture
def own_models(tmp_path):
    """A folder of YAML files with two more choices of model."""
    (tmp_path / "own" / "model").mkdir(parents=True)
    for name, layers in (("mine_a", 1), ("mine_b", 2)):
        text = f"defaults: [schema_lstm, _self_]\nd_model: 32\nencoder_layers: {layers}\ndecoder_layers: 1\n"
        (tmp_path / "own" / "model" / f"{name}.yaml").write_text(text)
    return tmp_path / "own"


def test_choices_of_a_folder_of_ones_own_are_known(own_models, corpus, tmp_path):
    changes = dict.fromkeys(("model__ffn_dim", "model__num_heads", "model__encoder_layers"))
    own = ["--config-dir", str(own_models), "run.max_steps=1", "averaging.last=0"]
    # model.input_feeding exists in the swept models alone, and not in the default one
    result = sweep(corpus, tmp_path / "sweep", *own, "model=glob(mine_*)", "model.input_feeding=false", **changes)
    assert result.returncode == 0, result.stderr.decode()
    assert {row["model"] for row in read_trials(tmp_path / "sweep")} == {"mine_a", "mine_b"}
    result = sweep(corpus, tmp_path / "other", *own, "model=mine_c,mine_a", **changes)
    assert b"model=mine_c: unknown choice; did you mean mine_b?; choices: base, big, convolutional" in result.stderr
    assert b"mine_a, mine_b" in result.stderr
    result = sweep(corpus, tmp_path / "other", *own, "model=glob(yours_*)", **changes)
    assert b"model=glob(yours_*): no choice matches; choices: base," in result.stderr


def test_a_model_too_large_for_memory_is_found_before_the_first_trial(corpus, tmp_path):
    result = sweep(corpus, tmp_path / "sweep", model__d_model="32,400000")
    assert b"GiB of memory, and there are" in result.stderr
    assert not (tmp_path / "sweep").exists()
