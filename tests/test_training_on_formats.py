"""One command trains on a file as people have it, and says what it read and left out."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpus_files import COMPRESSIONS, FORMATS, csv_bytes, write_file
from in_process import call_here
from small_runs import options
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.data.direction import reversed_direction, with_languages
from translate.data.prepare import prepare
from translate.data.readers import read_pairs, read_parallel_text
from translate.errors import UserError
from translate.files import read_json
from translate.tokenizer_training import TokenizerConfig

TRAINED = ["comma", "quoted TSV", "spreadsheet in UTF-16", "attributed", "workbook", "JSON array"]


def sentences() -> list[tuple[str, str]]:
    choose = random.Random(0).choice
    names = [
        f"{choose(['red', 'old', 'new'])} {choose(['cat', 'dog', 'cow'])} {choose('aeiou') * 2}" for _ in range(80)
    ]
    lines = [f"{name}, {number}." for number, name in enumerate(names)]
    return [(line, line.upper()) for line in lines]


def train(folder: Path, *words: str):
    changes = {f"data__{split}__{side}": None for split in ("train", "valid", "test") for side in ("source", "target")}
    changes |= {"run__max_steps": 2, "validation__every": 2, "run__save_every": 2, "tokenizer__vocab_size": 45}
    return call_here("train", *options(folder, folder / "run", **changes), *words)


@pytest.mark.parametrize("name", TRAINED)
def test_a_file_of_any_form_trains_with_one_command(tmp_path: Path, name: str):
    path = write_file(tmp_path, name, sentences())
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


def test_rows_without_a_pair_are_left_out_of_a_test_set_with_their_labels(tmp_path: Path, caplog):
    rows = [
        ("en", "de", "de2"),
        ("one cat", "eine Katze", "ein Kater"),
        ("two", "zwei"),
        (),
        ("2 cats", "drei", "3"),
    ]
    (tmp_path / "test.csv").write_bytes(csv_bytes(rows))
    (tmp_path / "labels").write_text("a\nb\nc\nd\n")
    config = CorpusConfig(path=f"{tmp_path}/test.csv", source="en", target=["de", "de2"], labels=f"{tmp_path}/labels")
    text = read_parallel_text(config, key="data.test")
    assert text.source == ["one cat", "2 cats"]
    assert text.references == [["eine Katze", "drei"], ["ein Kater", "3"]]
    assert text.labels == [["a"], ["d"]]
    assert (
        "data.test: left out rows that are not sentence pairs: line 3 (column 3 of 2 is missing), 4 (a blank line) of"
        in caplog.text
    )


def test_training_sets_are_equal_compressed_or_not(tmp_path: Path):
    fingerprints = []
    for number, compress in enumerate([bytes, *COMPRESSIONS.values()]):
        path = tmp_path / str(number)
        path.write_bytes(compress(FORMATS["quoted TSV"][0](sentences())))
        data = DataConfig(train=CorpusConfig(path=str(path)), cache=str(tmp_path / "cache"))
        prepared = prepare(data, TokenizerConfig(vocab_size=45, byte_fallback=False))
        texts = prepared.train.texts(np.arange(len(prepared.train)))
        fingerprints.append([*map(list, texts), prepared.valid.source, prepared.test and prepared.test.target])
    assert all(found == fingerprints[0] for found in fingerprints)


NAMED = {"comma", "semicolon", "quoted TSV", "JSON lines", "JSON object", "Parquet"}


@pytest.mark.parametrize("name", FORMATS)
def test_languages_come_from_the_names_of_columns(tmp_path: Path, name: str):
    data = DataConfig(train=CorpusConfig(path=write_file(tmp_path, name, sentences())))
    found = with_languages(data)
    assert (found.source_language, found.target_language) == (("en", "de") if name in NAMED else ("", ""))
    turned = with_languages(replace(data, source_language="de"))
    assert (turned.source_language, turned.target_language) == ("de", "en" if name in NAMED else "")
    if name not in NAMED:
        with pytest.raises(UserError, match=r"does not name their languages: say by source= and target="):
            reversed_direction(data)
    else:
        _, swapped = reversed_direction(found).training_corpora[0]
        assert next(read_pairs(swapped, key="data.train")) == sentences()[0][::-1]
