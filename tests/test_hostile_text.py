"""Untrusted tables and text: an error names the file, the line and the finding; messages stay short and harmless."""

import gzip
import logging
from pathlib import Path

import pyarrow
import pytest
import torch
from pyarrow import parquet

from fuzzing.memory import MemoryGrowth
from in_process import call_here
from translate.config.command import user_errors
from translate.console import print_notes, start_log
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.readers import read_rows
from translate.errors import UserError, excerpt
from translate.text import MAX_LINE_BYTES, read_lines


def refused(path: Path, file_format: CorpusFormat, **options) -> str:
    """The message for a table that is refused."""
    config = CorpusConfig(format=file_format, path=str(path), **{"source": "en", "target": "de"} | options)
    with pytest.raises(UserError) as error:
        list(read_rows(config, key="data.train"))
    return str(error.value).replace(f"{path}", path.name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[" * 100_000, "not JSON: nested too deeply"),
        ('{"en": ' + "9" * 5000 + "}", "not JSON: Exceeds the limit (4300 digits)"),
        ('{"en": "a", "en": "b"}', "not JSON: the key en twice in one object"),
        ('{"en": "a", "de": [[1]]}', "'de' should be text, but is [[1]]"),
        ('{"' + "x" * 10**6 + '": 1}', "no key 'en', only xxx"),
        ("null", "no key 'en', only NoneType"),
    ],
)
def test_a_hostile_line_of_json_is_named(tmp_path, line, message):
    path = tmp_path / "table"
    path.write_text('{"en": "a\\ud800", "de": "b"}\n' * 50 + f"{line}\n" * 51)
    found = refused(path, CorpusFormat.jsonl)
    assert found.startswith(f"data.train: table, line 51: {message}")
    assert len(found) < 600


def test_text_of_parquet_that_is_not_utf8_is_named_by_its_row(tmp_path):
    raw = pyarrow.array([b"good"] * 12_344 + [b"bad \xff\x1b[2J"] + [b"good"] * 100, pyarrow.binary())
    texts = pyarrow.Array.from_buffers(pyarrow.string(), len(raw), raw.buffers())
    path = tmp_path / "table.parquet"
    parquet.write_table(pyarrow.table({"en": texts, "de": ["x"] * len(raw)}), path)
    expected = r"data.train: table.parquet, row 12,345: text that is not UTF-8: b'bad \xff\x1b[2J'"
    assert refused(path, CorpusFormat.parquet) == expected
    path.write_bytes(path.read_bytes()[:-20])
    assert refused(path, CorpusFormat.parquet).startswith("data.train: table.parquet: cannot be read as Parquet: Arrow")


def test_a_question_without_its_parts_is_named(tmp_path):
    path = tmp_path / "squad.json"
    for text, reason in [
        ('{"data": [{"paragraphs": [{}]}]}', "KeyError: 'qas'"),
        ('{"data": ' + "[" * 100_000, "nested too deeply"),
        ('{"data": [1]}', "TypeError"),
    ]:
        path.write_text(text)
        assert f"squad.json: cannot be read as SQuAD's JSON: {reason}" in refused(path, CorpusFormat.squad).replace(
            "ValueError: ", ""
        )


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, end):
    """1 GB without a line end: as a file with a hole, or as 1 MB of gzip."""
    path = tmp_path / f"text{end}"
    with open(path, "wb") as file:
        if end:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as stream:
                stream.write(b"good\n")
                for _ in range(100):
                    stream.write(bytes(1 << 20))
        else:
            file.write(b"good\n")
            file.truncate(1 << 30)
    memory = MemoryGrowth()
    with pytest.raises(UserError, match=rf"{path.name}, line 2: more than 16,777,216 bytes and no line end"):
        list(read_lines(path))
    assert memory.megabytes < 120


def test_the_longest_line_is_read(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"x" * MAX_LINE_BYTES + b"\n" + b"y" * MAX_LINE_BYTES)
    assert [len(line) for line in read_lines(path)] == [MAX_LINE_BYTES] * 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"one\rtwo\rthree", r"source: its lines end in CR alone, not in \n; convert it first: tr '\r' '\n'"),
        ("one two\n".encode("utf-16-le"), "iconv -f UTF-16LE"),
        ("one two\n".encode("utf-16-be"), "iconv -f UTF-16BE"),
        ("one two\n".encode("utf-32-be"), "source is UTF-32BE, by the zeros between the bytes of line 1; convert it"),
        ("one two\n".encode("utf-32-le"), "iconv -f UTF-32LE"),
        ("one \ud800 two\n".encode("utf-16", "surrogatepass"), "source: not valid UTF-16 (illegal UTF-16 surrogate)"),
        ("one two\n".encode("utf-32"), "source is UTF-32, by the byte order mark at its beginning"),
        (b"good\xed\xa0\x80\n", "source, line 1, byte 5: 0xed is not UTF-8 here"),
    ],
)
def test_text_of_another_kind_is_refused(tmp_path, source, message):
    (tmp_path / "source").write_bytes(source)
    (tmp_path / "target").write_text("eins zwei\n")
    config = CorpusConfig(source=str(tmp_path / "source"), target=str(tmp_path / "target"))
    with pytest.raises(UserError) as error:
        list(read_rows(config, key="data.train"))
    assert message in str(error.value)


def test_characters_that_look_like_line_ends_or_marks_stay_in_their_line(tmp_path):
    line = "a\ufeffb\u2028c\u0085d\re\0f"
    (tmp_path / "text").write_text(f"\ufeff{line}\n{line}", newline="")
    assert list(read_lines(tmp_path / "text")) == [line, line]


def columns_of(name: str, tmp_path: Path) -> bytes:
    """Messages of preparing a table whose header has a column of this name; F29, F30."""
    (tmp_path / "table").write_text(f"{name}en\tde\na\tb\n", newline="")
    options = [f"data.train.{key}" for key in ("format=tsv", f"path={tmp_path}/table", "source=en", "target=de")]
    result = call_here("prepare", "data=text_files", *options, f"data.cache={tmp_path}/cache")
    assert result.returncode == 1
    return result.stderr


def test_a_header_of_three_megabytes_is_shortened(tmp_path):
    message = columns_of("x" * 3_000_000, tmp_path)
    assert b"line 1: no column 'en' in the header, which has xxx" in message
    assert b"\xe2\x80\xa6 xxx" in message
    assert len(message) < 600


def test_the_terminal_does_not_obey_a_file(tmp_path):
    message = columns_of("\x1b]0;owned\x07\x1b[2J\u202e", tmp_path)
    assert rb"which has \x1b]0;owned\x07\x1b[2J\u202een, de" in message
    assert b"\x1b" not in message


def test_messages_are_short_and_spelled_out_and_keep_their_line_breaks(capsys):
    message = str(UserError(f"first\nsecond \x1b[2J {'x' * 10**6} \u2066last \ud800 \u06cc\u200c"))
    assert message.startswith("first\nsecond \\x1b[2J xxx")
    assert message.endswith("\\u2066last \\ud800 \u06cc\u200c")
    assert len(message) <= 4000
    assert str(UserError(message)) == message
    assert excerpt("a\nb" + "x" * 10**6).startswith("a\\nbxx")
    with pytest.raises(SystemExit), user_errors():
        raise OSError(2, "\x1b[2J" + "x" * 10**6, "name\r")
    printed = capsys.readouterr().err
    assert printed.startswith("error: name\\r: \\x1b[2Jxxx")
    assert len(printed) < 4010


def test_memory_that_does_not_suffice_is_one_line(capsys):
    with pytest.raises(SystemExit), user_errors():
        bytes(1 << 60)
    with pytest.raises(SystemExit), user_errors():
        torch.empty(1 << 52, dtype=torch.uint8)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: out of memory: Python found no room for an object"
    assert second.startswith("error: out of memory: ")
    assert "can't allocate memory" in second
    with pytest.raises(RuntimeError, match="a bug"), user_errors():
        raise RuntimeError("a bug")


def test_log_lines_and_notes_are_spelled_out(tmp_path, capsys):
    before = logging.getLogger("translate").handlers
    try:
        start_log(path=tmp_path / "train.log")
        logging.getLogger("translate").info("a name: \x1b[2J\na second line")
        print_notes("a note: \x1b[2J", warning="\u202e")
    finally:
        logging.captureWarnings(False)
        logging.getLogger("translate").handlers = before
    assert (tmp_path / "train.log").read_text(encoding="utf-8").endswith("a name: \\x1b[2J\na second line\n")
    expected = "a name: \\x1b[2J\na second line\na note: \\x1b[2J\nwarning: \\u202e\n"
    assert capsys.readouterr().err == expected
