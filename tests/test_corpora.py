"""Pairs come out of every kind of file as they went in."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from corpus_files import FORMATS
from translate.data.clean_text import content_hashes
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.readers import READERS, read_pairs, read_rows
from translate.errors import UserError
from translate.text import write_lines

PAIRS = [
    ("Hello.", "Hallo."),
    ("", "leer"),
    ("a \r carriage return\r", "nächste\x85Zeile"),
    ('"quoted, "" twice', "'einzeln"),
    ("line\u2028separator", "NUL \x00 hier"),
    ("\ufeffBOM", "👩‍👩‍👧"),
    ("Zeile\x0bmit\x0call\x1cem", "x" * 65_000),
]


def as_text(folder: Path) -> CorpusConfig:
    for side, name in enumerate(("source", "target")):
        write_lines(folder / f"{name}.gz", [pair[side] for pair in PAIRS])
    return CorpusConfig(source=f"{folder}/source.gz", target=f"{folder}/target.gz")


def as_tsv(folder: Path) -> CorpusConfig:
    write_lines(folder / "pairs.tsv", [f"7\t{target}\t{source}" for source, target in PAIRS])
    return CorpusConfig(format=CorpusFormat.tsv, path=f"{folder}/pairs.tsv", source="3", target="2")


def as_jsonl(folder: Path) -> CorpusConfig:
    lines = [json.dumps({"translation": {"en": source, "de": target}}) for source, target in PAIRS]
    (folder / "pairs.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return CorpusConfig(
        format=CorpusFormat.jsonl, path=f"{folder}/*.jsonl.gz", source="translation.en", target="translation.de"
    )


def as_parquet(folder: Path) -> CorpusConfig:
    translation = [{"en": source, "de": target} for source, target in PAIRS]
    table = pyarrow.table({"id": list(range(len(PAIRS))), "translation": translation})
    parquet.write_table(table.slice(0, 3), folder / "part-0.parquet")
    parquet.write_table(table.slice(3), folder / "part-1.parquet")
    return CorpusConfig(
        format=CorpusFormat.parquet, path=f"{folder}/part-*", source="translation.en", target="translation.de"
    )


def as_hub(folder: Path) -> CorpusConfig:
    as_parquet(folder)
    return CorpusConfig(format=CorpusFormat.hub, name=str(folder), source="translation.en", target="translation.de")


MARKUP = {CorpusFormat.tmx, CorpusFormat.xliff, CorpusFormat.po, CorpusFormat.moses}
WRITERS = {
    CorpusFormat.text: as_text,
    CorpusFormat.tsv: as_tsv,
    CorpusFormat.jsonl: as_jsonl,
    CorpusFormat.parquet: as_parquet,
    CorpusFormat.hub: as_hub,
}


def read(config: CorpusConfig) -> list[tuple[str, str]]:
    return list(read_pairs(config, key="data.train"))


@pytest.fixture(autouse=True)
def _hub_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("hub"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True, raising=False)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True, raising=False)


def test_every_format_has_a_test():
    # those of test_formats.py, which cannot hold all of these characters, and SQuAD, whose sources have two parts
    others = {file_format for _, file_format in FORMATS.values()} | {
        CorpusFormat.auto,
        CorpusFormat.squad,
        CorpusFormat.mtdata,
        *MARKUP,
    }
    assert {*WRITERS, *others} == set(READERS) == set(CorpusFormat) - {CorpusFormat.sacrebleu}


@pytest.mark.parametrize("kind", WRITERS)
def test_all_formats_give_the_same_hostile_pairs(kind: CorpusFormat, tmp_path: Path):
    config = WRITERS[kind](tmp_path)
    assert read(config) == PAIRS
    hashes = content_hashes(config, key="data.train")
    assert hashes == content_hashes(config, key="data.train")
    assert all(len(value) == 64 for value in hashes)


def test_a_local_folder_of_jsonl_reads_as_a_hub_data_set(tmp_path: Path):
    for split, pairs in (("train", PAIRS[:4]), ("validation", PAIRS[4:])):
        lines = [json.dumps({"translation": {"en": source, "de": target}}) for source, target in pairs]
        write_lines(tmp_path / f"{split}.jsonl", lines)
    config = as_hub_config(tmp_path, "validation")
    assert read(config) == PAIRS[4:]
    with pytest.raises(UserError, match=r"data\.train: hub data set .*, split 'nowhere'"):
        read(as_hub_config(tmp_path, "nowhere"))


def as_hub_config(folder: Path, split: str) -> CorpusConfig:
    return CorpusConfig(
        format=CorpusFormat.hub,
        name=str(folder),
        split=split,
        source="translation.en",
        target="translation.de",
    )


def test_tsv_columns_may_be_named_by_a_header_even_behind_a_byte_order_mark(tmp_path: Path):
    lines = ["\ufeffde\tid\ten\r", *(f"{target}\t1\t{source}" for source, target in PAIRS)]
    write_lines(tmp_path / "pairs.tsv.gz", lines)
    assert read(tsv(tmp_path / "pairs.tsv.gz", "en", "de")) == PAIRS


def tsv(path: Path, source: str, target: str) -> CorpusConfig:
    return CorpusConfig(format=CorpusFormat.tsv, path=str(path), source=source, target=target)


def test_problems_of_tsv_name_file_line_and_column(tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    write_lines(path, ["en\tde", "a\tb", "only one"])
    problems = [(row.line, row.problem) for row in read_rows(tsv(path, "en", "de"), key="data.train")]
    assert problems == [(2, ""), (3, "column 2 of 1 is missing")]
    with pytest.raises(UserError, match=r"line 1: no column 'fr' in the header, which has en, de"):
        read(tsv(path, "en", "fr"))
    with pytest.raises(UserError, match="counted from 1"):
        read(tsv(path, "0", "1"))


def test_sides_of_different_length_are_an_error_with_both_counts(tmp_path: Path):
    write_lines(tmp_path / "a.en", ["line"] * 5)
    write_lines(tmp_path / "a.de", ["Zeile"] * 3)
    for source, target in (("en", "de"), ("de", "en")):
        config = CorpusConfig(source=f"{tmp_path}/a.{source}", target=f"{tmp_path}/a.{target}")
        with pytest.raises(UserError, match=r"data\.train: the two sides") as caught:
            read(config)
        assert "a.en has 5" in str(caught.value)
        assert "a.de has 3" in str(caught.value)


def test_final_line_without_a_line_end_is_read(tmp_path: Path):
    write_lines(tmp_path / "a", ["one", "two"], end_last_line=False)
    write_lines(tmp_path / "b", ["eins", "zwei"])
    assert read(CorpusConfig(source=f"{tmp_path}/a", target=f"{tmp_path}/b")) == [("one", "eins"), ("two", "zwei")]


def test_empty_and_missing_corpora_are_errors_that_name_their_key(tmp_path: Path):
    (tmp_path / "empty").touch()
    with pytest.raises(UserError, match=r"^data\.train: .*: the corpus is empty"):
        read(CorpusConfig(source=f"{tmp_path}/empty", target=f"{tmp_path}/empty"))
    for config in (
        CorpusConfig(source="absent.en", target="absent.de"),
        CorpusConfig(format=CorpusFormat.jsonl, path="absent*.jsonl", source="en", target="de"),
    ):
        for function in (read, lambda config: content_hashes(config, key="data.train")):
            with pytest.raises(UserError, match=r"^data\.train\.(source|path)=absent.*: no such file"):
                function(config)
    with pytest.raises(
        UserError,
        match=r"^data\.train: .* not specified; set data\.train\.source=… data\.train\.target=…, or data.*path=…",
    ):
        read(CorpusConfig())
    with pytest.raises(UserError, match=r"the parquet corpus is not specified; set data\.train\.path=…$"):
        read(CorpusConfig(format=CorpusFormat.parquet, source="en", target="de"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "column 2: not JSON"),
        ('{"en": "x"}', "no key 'de', only en"),
        ('{"en": "x", "de": null}', "'de' should be text, but is None"),
        ('{"en": "x", "de": 3}', "'de' should be text, but is 3"),
        ("[1]", "no key 'en', only 1"),
    ],
)
def test_a_line_of_json_without_a_pair_is_a_problem_of_that_row(tmp_path: Path, line: str, message: str):
    write_lines(tmp_path / "a.jsonl", ['{"en": "a", "de": "b"}', line])
    config = CorpusConfig(format=CorpusFormat.jsonl, path=f"{tmp_path}/a.jsonl", source="en", target="de")
    first, second = read_rows(config, key="data.train")
    assert (first.source, first.target, first.problem) == ("a", "b", "")
    assert second.line == 2
    assert second.problem.startswith(message)
    write_lines(tmp_path / "a.jsonl", ['{"en": "a", "de": "b"}', line, line])
    with pytest.raises(UserError, match=r"data\.train: .*a\.jsonl, line 2: .*; 2 of 3 rows are not sentence pairs"):
        read(config)


def test_json_values_become_one_line_of_real_characters(tmp_path: Path):
    write_lines(tmp_path / "a.jsonl", [r'{"en": "two\nlines", "de": "half \ud83d pair"}'])
    pairs = read(CorpusConfig(format=CorpusFormat.jsonl, path=f"{tmp_path}/a.jsonl", source="en", target="de"))
    assert pairs == [("two lines", "half ? pair")]


def test_wrong_parquet_file_or_column_is_named_in_the_error(tmp_path: Path):
    config = as_parquet(tmp_path)
    config.source = "translation.fr"
    with pytest.raises(UserError, match=r"part-0\.parquet, line 1: no key 'translation\.fr', only"):
        read(config)
    (tmp_path / "part-0.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"part-0\.parquet: cannot be read as Parquet"):
        read(as_text(tmp_path) and config)


def test_hash_depends_on_content_and_not_on_file_names(tmp_path: Path):
    for name, content in (("a", "x\n"), ("b", "x\n"), ("c", "y\n")):
        (tmp_path / name).write_text(content)

    def hashes(source: str, target: str) -> list[str]:
        return content_hashes(CorpusConfig(source=f"{tmp_path}/{source}", target=f"{tmp_path}/{target}"), key="k")

    assert hashes("a", "b") == hashes("b", "a")
    assert hashes("a", "b") != hashes("a", "c")


SQUAD = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": "Rome is\nold.",
                    "qas": [
                        {"question": "What is old?", "answers": [{"text": "Rome"}, {"text": "Rome"}, {"text": "it"}]},
                        {"question": "Why?", "answers": []},
                    ],
                }
            ]
        }
    ]
}


def test_squad_rows_are_questions_with_passages_and_answers(tmp_path: Path):
    (tmp_path / "squad.json").write_text(json.dumps(SQUAD))
    config = CorpusConfig(format=CorpusFormat.squad, path=str(tmp_path / "squad.json"))
    sources = ["What is old? <sep> Rome is old.", "Why? <sep> Rome is old."]
    assert list(read_pairs(config, key="data.train")) == list(zip(sources, ["Rome", ""], strict=True))
    config = replace(config, every_answer=True)
    assert [answers for _, answers in read_pairs(config, key="data.test")] == ["Rome\tit", ""]
    (tmp_path / "squad.json").write_text(json.dumps({"data": [{"paragraphs": 3}]}))
    with pytest.raises(UserError, match=r"data\.train: .*squad\.json: cannot be read as SQuAD's JSON: TypeError"):
        list(read_pairs(config, key="data.train"))


def test_skip_and_take_read_a_range_of_the_corpus(tmp_path: Path):
    for side in ("a", "b"):
        (tmp_path / side).write_text("".join(f"{side}{number}\n" for number in range(6)))
    config = CorpusConfig(source=str(tmp_path / "a"), target=str(tmp_path / "b"))

    def numbers(**part: int) -> list[str]:
        return [source[1:] for source, _ in read_pairs(replace(config, **part), key="data.train")]

    assert numbers(take=2) == ["0", "1"]
    assert numbers(skip=4) == ["4", "5"]
    assert numbers(skip=1, take=3) == ["1", "2", "3"]
    with pytest.raises(UserError, match=r"no pairs after the first 6, which data\.train\.skip leaves out"):
        numbers(skip=6)
    with pytest.raises(UserError, match=r"data\.train\.take \(-1\) must be at least 0"):
        numbers(take=-1)


def test_a_blank_line_of_a_table_or_of_json_lines_is_a_blank_pair(tmp_path: Path):
    (tmp_path / "a.tsv").write_bytes(b"en\tde\r\none\teins\r\n\r\ntwo\tzwei\r\n\n")
    (tmp_path / "a.jsonl").write_text('\n{"en": "one", "de": "eins"}\n  \n{"en": "two", "de": "zwei"}\n\n')
    rows = list(read_rows(tsv(tmp_path / "a.tsv", "en", "de"), key="data.train"))
    assert [(row.line, row.source, row.target) for row in rows] == [
        (2, "one", "eins\r"),
        (3, "", ""),
        (4, "two", "zwei\r"),
        (5, "", ""),
    ]
    json_lines = CorpusConfig(format=CorpusFormat.jsonl, path=f"{tmp_path}/a.jsonl", source="en", target="de")
    assert read(json_lines) == [("", ""), ("one", "eins"), ("", ""), ("two", "zwei"), ("", "")]


def test_rows_map_to_file_and_line_number(tmp_path: Path):
    for name, words in (("a", ["one", "two"]), ("b", ["three", "four"])):
        write_lines(tmp_path / f"{name}.tsv", ["en\tde", *(f"{word}\t{word.upper()}" for word in words)])
    config = replace(tsv(tmp_path / "*.tsv", "en", "de"), skip=1, take=2)
    rows = [(Path(row.path).name, row.line, row.source) for row in read_rows(config, key="data.train")]
    assert rows == [("a.tsv", 3, "two"), ("b.tsv", 2, "three")]
    write_lines(tmp_path / "text", [str(number) for number in range(1, 601)])
    config = CorpusConfig(source=f"{tmp_path}/text", target=f"{tmp_path}/text", skip=500)
    assert next((row.line, row.source) for row in read_rows(config, key="data.train")) == (501, "501")


def test_byte_order_mark_is_stripped_from_the_first_sentence(tmp_path: Path):
    mark = b"\xef\xbb\xbf"
    (tmp_path / "a.jsonl").write_bytes(mark + b'{"en": "Hi.", "de": "Hallo."}\n')
    (tmp_path / "a.tsv").write_bytes(mark + b"Hi.\tHallo.\n")
    (tmp_path / "a.en").write_bytes(mark + b"Hi.\n")
    (tmp_path / "a.de").write_bytes(mark + b"Hallo.\n")
    for config in (
        CorpusConfig(format=CorpusFormat.jsonl, path=f"{tmp_path}/a.jsonl", source="en", target="de"),
        tsv(tmp_path / "a.tsv", "1", "2"),
        CorpusConfig(source=f"{tmp_path}/a.en", target=f"{tmp_path}/a.de"),
    ):
        assert read(config) == [("Hi.", "Hallo.")]


def test_header_of_column_numbers_is_skipped(tmp_path: Path):
    write_lines(tmp_path / "a.tsv", ["1\t2", "Hi.\tHallo.", "1\t2"])
    assert read(tsv(tmp_path / "a.tsv", "1", "2")) == [("Hi.", "Hallo."), ("1", "2")]
    assert read(tsv(tmp_path / "a.tsv", "2", "1")) == [("Hallo.", "Hi."), ("2", "1")]


def test_one_column_alone_is_refused(tmp_path: Path):
    write_lines(tmp_path / "a.tsv", ["en\tde", "Hi.\tHallo."])
    with pytest.raises(
        UserError, match=r"^data\.train: the columns of the tsv corpus are not specified; set data\.train\.target=…$"
    ):
        read(tsv(tmp_path / "a.tsv", "en", ""))
