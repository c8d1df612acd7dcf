"""One command trains on a file as people have it, and says what it read and left out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from corpus_files import COMPRESSIONS, FORMS, csv_bytes, write_form
from in_process import call_here
from small_runs import options
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.data.prepare import prepare
from translate.data.readers import read_parallel_text
from translate.files import read_json
from translate.tokenizer_training import TokenizerConfig


def sentences() -> list[tuple[str, str]]:
    choose = random.Random(0).choice
    words = [
        [choose(["red", "old", "new", "big"]), choose(["cat", "dog", "cow"]), choose("aeiou") * 2] for _ in range(80)
    ]
    lines = [f"{' '.join(found)}, {number}." for number, found in enumerate(words)]
    return [(line, line.upper()) for line in lines]


def train(folder: Path, *words: str):
    changes = {f"data__{split}__{side}": None for split in ("train", "valid", "test") for side in ("source", "target")}
    changes |= {"run__max_steps": 2, "validation__every": 2, "run__save_every": 2, "tokenizer__vocab_size": 45}
    return call_here("train", *options(folder, folder / "run", **changes), *words)


@pytest.mark.parametrize(
    "name", ["comma", "quoted TSV", "spreadsheet in UTF-16", "attributed", "workbook", "JSON array"]
)
def test_a_file_of_any_form_trains_with_one_command(tmp_path: Path, name: str):
    path = write_form(tmp_path, name, sentences())
    result = train(tmp_path, f"data.train.path={path}")
    assert result.returncode == 0, result.stderr.decode()
    log = result.stderr.decode()
    assert log.count(f"{path}: ") == 1
    report = read_json(next((tmp_path / "cache").glob("text-*")) / "report.json")
    blank = 1 if name == "attributed" else 0
    assert report["total"] == 80 + blank
    assert report["dropped"].get("no pair in the row", 0) == blank
    if blank:
        assert report["examples"]["no pair in the row"][0]["line"] == 81
        assert report["examples"]["no pair in the row"][0]["source"] == "a blank line"
