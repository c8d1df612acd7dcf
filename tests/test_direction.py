"""Corpora in the formats of translation tools: equal pairs in all of them, and languages taken from the files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from small_data import TOKENIZER
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.direction import reversed_direction, with_languages
from translate.data.formats.language_tags import choose_sides, find_language
from translate.data.formats.recognition import recognise
from translate.data.prepare import prepare
from translate.data.readers import read_pairs
from translate.errors import UserError
from translate.text import read_lines
from translation_formats import PAIRS, WRITERS, write_moses, write_po, write_tmx


def data_of(path: object, **options: object) -> DataConfig:
    return DataConfig(train=CorpusConfig(path=path), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WRITERS)
def test_each_form_is_recognised_and_gives_its_pairs(tmp_path: Path, name: str):
    path = tmp_path / "file"
    WRITERS[name](path, PAIRS, "en", "de-DE")
    assert recognise(str(path)) == CorpusFormat(name.removesuffix("_2"))
    data = with_languages(data_of(str(path)))
    assert (data.source_language, data.target_language.replace("_", "-")) == ("en", "de-DE")
    assert list(read_pairs(dict(data.training_corpora)["data.train"], key="data.train")) == PAIRS
    reverse = with_languages(data_of(str(path), source_language="de"))
    assert (reverse.source_language, reverse.target_language) == ("de", "en")
    assert list(read_pairs(dict(reverse.training_corpora)["data.train"], key="data.train")) == [p[::-1] for p in PAIRS]


@pytest.mark.parametrize("name", WRITERS)
def test_multi30k_is_the_same_training_set_in_each_format(corpora_root: Path, tmp_path: Path, name: str):
    sides = [list(read_lines(corpora_root / "multi30k" / f"train.{language}"))[:5000] for language in ("en", "de")]
    pairs = list(zip(*sides, strict=True))
    WRITERS[name](tmp_path / "file", pairs, "en", "de")
    data = with_languages(data_of(str(tmp_path / "file")))
    assert list(read_pairs(dict(data.training_corpora)["data.train"], key="data.train")) == pairs


def test_several_files_and_patterns_are_read_in_order(tmp_path: Path):
    for number, name in enumerate(("c.tmx", "b.tmx", "a.tmx")):
        write_tmx(tmp_path / name, PAIRS[number : number + 1], "en", "de")
    write_moses(tmp_path / "d.zip", PAIRS[3:5], "de", "en")
    paths = [str(tmp_path / "d.zip"), str(tmp_path / "*.tmx")]
    data = with_languages(data_of(paths, source_language="en", target_language="de"))
    found = list(read_pairs(dict(data.training_corpora)["data.train"], key="data.train"))
    reversed_first = [pair[::-1] for pair in PAIRS[3:5]]
    assert found == [*reversed_first, PAIRS[2], PAIRS[1], PAIRS[0]]


def test_each_file_of_a_pattern_has_both_languages(tmp_path: Path):
    write_tmx(tmp_path / "a.tmx", PAIRS, "en", "de")
    write_tmx(tmp_path / "b.tmx", PAIRS, "en", "fr")
    data = with_languages(data_of(str(tmp_path / "*.tmx")))
    with pytest.raises(UserError, match=r"data.train: .*b.tmx has text in 2 languages \(en, fr\): de is none of them"):
        list(read_pairs(dict(data.training_corpora)["data.train"], key="data.train"))


def test_the_first_corpus_that_names_languages_decides(tmp_path: Path):
    write_po(tmp_path / "a.po", PAIRS, "", "de")
    write_tmx(tmp_path / "b.tmx", PAIRS, "de", "en")
    own = CorpusConfig(path=str(tmp_path / "b.tmx"), source_language="de", target_language="en")
    test = CorpusConfig(path=str(tmp_path / "b.tmx"))
    data = with_languages(DataConfig(train=own, additional=[CorpusConfig(path=str(tmp_path / "a.po"))], test=test))
    assert (data.source_language, data.target_language) == ("en", "de")


@pytest.mark.parametrize("name", WRITERS)
def test_back_translation_reads_each_form_in_the_other_direction(tmp_path: Path, name: str):
    WRITERS[name](tmp_path / "file", PAIRS, "" if name == "po" else "en", "de")
    data = reversed_direction(data_of(str(tmp_path / "file")))
    assert data.source_language == "de"
    assert not data.evaluation_corpora
    assert list(read_pairs(dict(data.training_corpora)["data.train"], key="data.train")) == [p[::-1] for p in PAIRS]


def test_sides_without_languages_are_not_swapped(tmp_path: Path):
    write_po(tmp_path / "a.po", PAIRS, "", "")
    with pytest.raises(UserError, match="does not name their languages: say by source= and target="):
        reversed_direction(data_of(f"{tmp_path}/a.po"))
    columns = CorpusConfig(path=f"{tmp_path}/a.po", source="msgid", target="msgstr")
    swapped = dict(reversed_direction(DataConfig(train=columns)).training_corpora)["data.train"]
    assert list(read_pairs(swapped, key="data.train")) == [pair[::-1] for pair in PAIRS]


def test_text_files_name_no_languages(tmp_path: Path):
    data = DataConfig(train=CorpusConfig(source=f"{tmp_path}/a", target=f"{tmp_path}/b"))
    assert with_languages(data) == data


def test_preparation_is_the_same_for_text_and_tmx(tmp_path: Path):
    sides = [list(side) for side in zip(*PAIRS * 3, strict=True)]
    for side, lines in zip("ab", sides, strict=True):
        (tmp_path / side).write_text("".join(f"{line}\n" for line in lines))
    write_tmx(tmp_path / "c", PAIRS * 3, "en", "de")
    valid = CorpusConfig(source=f"{tmp_path}/a", target=f"{tmp_path}/b")
    prepared = [
        prepare(DataConfig(train=train, valid=valid, cache=f"{tmp_path}/cache"), TOKENIZER)
        for train in (valid, CorpusConfig(path=f"{tmp_path}/c"))
    ]
    texts = [data.train.texts(np.arange(len(data.train))) for data in prepared]
    assert texts[0] == texts[1]
    assert [data.tokenizer.hash for data in prepared] == [prepared[0].tokenizer.hash] * 2


@pytest.mark.parametrize(
    ("found", "asked", "chosen"),
    [
        (["en", "de"], ("", ""), ("en", "de")),
        (["en", "de"], ("de", ""), ("de", "en")),
        (["en-GB", "de"], ("", "en"), ("de", "en")),
        (["en", "de_DE", "fr"], ("fr", "de"), ("fr", "de")),
        (["en"], ("en", "en"), ("en", "en")),
        (["", "de"], ("", ""), ("", "de")),
        (["", "de"], ("en", ""), ("en", "de")),
        (["", "de"], ("de", ""), ("de", "")),
        (["", "de"], ("de", "en"), ("de", "en")),
        (["eng", "zho"], ("zh", ""), ("zh", "eng")),
    ],
)
def test_two_languages_are_chosen(found, asked, chosen):
    assert choose_sides(found, *asked, name="file") == chosen


@pytest.mark.parametrize(
    ("found", "asked", "message"),
    [
        ([], ("", ""), r"file has no text in any language"),
        (["en"], ("", ""), r"one language \(en\): which two"),
        (["en", "de", "fr"], ("", ""), r"3 languages \(en, de, fr\): which two"),
        (["en", "de", "fr"], ("en", ""), r"which is the other one"),
        (["en", "de"], ("en", "fr"), r"fr is none of them"),
        (["", "de"], ("en", "fr"), r"en and fr are not these"),
    ],
)
def test_languages_that_leave_it_open_are_listed(found, asked, message):
    with pytest.raises(UserError, match=message):
        choose_sides(found, *asked, name="file")


def test_two_unnamed_languages_are_in_the_order_of_the_file():
    assert choose_sides(["", ""], "en", "de", name="file") == ("en", "de")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_pipes_and_folders_are_refused_before_they_are_opened(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(UserError, match=r"data\.train\.path=.*/x: (a pipe cannot be read twice|that is a folder)"):
        with_languages(DataConfig(train=CorpusConfig(path=str(tmp_path / "x"))))


def test_the_most_fitting_tag_is_found():
    assert find_language("de", ["de-AT", "DE", "de-DE"]) == 1
    assert find_language("de", ["den", "de-AT", "de-DE"]) == 1
    assert find_language("de-DE", ["de", "de_de"]) == 1
    assert find_language("pt", ["por_BR"]) == 0
    assert find_language("de-DE", ["de"]) is None
