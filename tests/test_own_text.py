"""Training text on the command line replaces the whole shipped corpus, unless a corpus is chosen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from in_process import call_here
from small_runs import REPOSITORY, register_train, write_corpus
from translate.config import command
from translate.config.command import compose, register_schemas
from translate.config.command_line import read_command_line
from translate.evaluate import EvaluateConfig
from translate.prepare import PrepareConfig

OWN = ["data.train.source=a", "data.train.target=b"]


def chosen(*words: str, name: str = "train") -> bool:
    """True if these words leave the default corpus out, with its languages."""
    register_train()
    register_schemas("prepare", PrepareConfig, {}, {})
    line = read_command_line(PrepareConfig, words, list)
    return not compose(name, line.overrides).data.source_language


@pytest.mark.parametrize(
    "words",
    [
        OWN,
        OWN[:1],
        [*OWN, "data.valid.source=c", "data.valid.target=d"],
        ["data.train.format=tsv", "data.train.path=a.tsv"],
        ["data.train.format=hub", "data.train.name=x/y"],
        ["data.train={source: a, target: b}"],
    ],
)
def test_naming_training_text_leaves_the_shipped_corpus_out(words):
    assert chosen(*words)
    assert chosen(*words, name="prepare")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["experiment=shipped", "data.train.take=1000"],
        ["data.train.take=1000", "data.train.weight=2", "data.train.tag=<x>", "data.root=elsewhere"],
        ["data.valid.source=c", "data.valid.target=d"],
        ["data=multi30k", *OWN],
        ["data=shipped", *OWN],
        ["experiment=multi30k_en_de", *OWN],
        ["experiment=multi30k_record", "data.train.source=other"],
        ["data.train.source="],
    ],
)
def test_chosen_or_changed_corpus_is_kept(words):
    assert not chosen(*words)


def test_a_sweep_may_name_the_text_too():
    assert chosen("sweep=optuna", *OWN)


def test_commands_without_training_text_are_left_alone():
    register_schemas("evaluate", EvaluateConfig, {}, {})
    assert "data" not in compose("evaluate", ["source=a", "reference=b"])


def test_an_experiment_in_yaml_may_name_the_text_too(monkeypatch, tmp_path: Path):
    configs = tmp_path / "configs"
    shutil.copytree(REPOSITORY / "configs", configs)
    monkeypatch.setattr(command, "CONFIGS", configs)
    header, text = "# @package _global_\n", "data:\n  train:\n    source: a\n    target: b\n"
    for name, body in (
        ("mine", text),
        ("longer", "defaults:\n  - mine\n  - _self_\n"),
        ("other", f"defaults:\n  - override /data: multi30k\n  - _self_\n{text}"),
    ):
        (configs / "experiment" / f"{name}.yaml").write_text(header + body)
    assert chosen("experiment=mine")
    assert chosen("experiment=longer")
    assert not chosen("experiment=other")
    assert not chosen("experiment=mine", "data=shipped")
    (configs / "experiment" / "mine.yaml").write_text(header)
    assert not chosen("experiment=mine"), "a file that has changed is read again"


def test_named_training_text_leaves_nothing_of_the_shipped_corpus(tmp_path):
    corpus = write_corpus(tmp_path)
    words = [f"data.train.{side}={corpus}/train.{end}" for side, end in (("source", "src"), ("target", "tgt"))]
    result = call_here("prepare", *words, "--help")
    assert result.returncode == 0, result.stderr.decode()
    assert b"en-de" not in result.stdout
    assert b"source_language: ''" in result.stdout
