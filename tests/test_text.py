"""The line contract: only "\\n" ends a line, and n lines stay n lines."""

from __future__ import annotations

import gzip
import io
import unicodedata
from pathlib import Path

import pytest

from translate.errors import UserError
from translate.text import count_lines, find_control, normalise, read_ended_lines, read_lines, text_form_of, write_lines

HOSTILE = [
    "",
    " ",
    "\r",
    "ends in CR\r",
    "a\rb",
    "next\x85line",
    "line\u2028separator",
    "paragraph\u2029separator",
    "\ufeffBOM first",
    "NUL \x00 inside",
    "form\x0cfeed\x0bvertical\x1cfile\x1dgroup\x1erecord",
    "tab\tinside",
    "👩‍👩‍👧 emoji",
    "e\u0301 decomposed",
    "x" * 65_000,
]


@pytest.mark.parametrize("name", ["lines.txt", "lines.txt.gz"])
@pytest.mark.parametrize("end_last_line", [True, False])
def test_hostile_lines_round_trip(tmp_path: Path, name: str, end_last_line: bool):
    lines = [*HOSTILE, "last"]
    assert write_lines(tmp_path / name, lines, end_last_line=end_last_line) == len(lines)
    assert list(read_lines(tmp_path / name)) == lines
    assert count_lines(tmp_path / name) == len(lines)


def test_gz_files_are_reproducible(tmp_path: Path):
    paths = [tmp_path / "a.gz", tmp_path / "b.gz"]
    for path in paths:
        write_lines(path, ["one", "two"])
    assert gzip.decompress(paths[0].read_bytes()) == b"one\ntwo\n"


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [("", "\n")]),
        (b"\n\n", [("", "\n"), ("", "\n")]),
        (b"a", [("a", "")]),
        (b"a\n", [("a", "\n")]),
        (b"a\r\nb", [("a\r", "\n"), ("b", "")]),
    ],
)
def test_lines_keep_their_line_ends(content: bytes, lines: list[tuple[str, str]]):
    assert list(read_ended_lines(io.BytesIO(content))) == lines
    assert count_lines(io.BytesIO(content)) == len(lines)


def test_stream_is_read_line_by_line_and_left_open():
    stream = io.BytesIO(b"first\nsecond\n")
    assert next(read_lines(stream)) == "first"
    assert not stream.closed
    assert stream.readline() == b"second\n"


def test_bytes_that_are_not_utf8_are_named_by_file_line_and_byte(tmp_path: Path):
    path = tmp_path / "latin1.de"
    path.write_bytes("gut\nschön\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin1\.de, line 2, byte 4: 0xf6 is not UTF-8"):
        list(read_lines(path))


@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"abc\xe2\x82"])
def test_utf8_is_strict_about_surrogates_overlong_and_cut_sequences(raw: bytes):
    with pytest.raises(UserError, match="not UTF-8"):
        list(read_lines(io.BytesIO(raw)))


def test_missing_file_folder_and_truncated_gz_have_different_errors(tmp_path: Path):
    with pytest.raises(UserError, match=r"absent\.en: no such file"):
        list(read_lines(tmp_path / "absent.en"))
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        list(read_lines(tmp_path))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"line\n" * 1000)[:-20])
    for function in (list_of_lines, count_lines):
        with pytest.raises(UserError, match=r"cut\.gz: not a complete gzip file"):
            function(tmp_path / "cut.gz")


def list_of_lines(path: Path) -> list[str]:
    return list(read_lines(path))


def test_normalisation_removes_control_characters_and_is_idempotent():
    for line in HOSTILE:
        once = normalise(line)
        assert not any(unicodedata.category(character) == "Cc" for character in once)
        assert not set("\u2028\u2029\ufeff") & set(once)
        assert unicodedata.is_normalized("NFC", once)
        assert normalise(once) == once
        assert len(once.splitlines()) <= 1


def test_normalising_keeps_punctuation_width_and_joiners():
    for line in ("全角，标点！", "a b", "ﬁ ½ ①", "👩‍👩‍👧", "«Guillemets»"):
        assert normalise(line) == line
    assert normalise("e\u0301") == "é"


@pytest.mark.parametrize("space", [*" \xa0\u1680\u2000\u2003\u2007\u2009\u200a\u202f\u205f\u3000"])
def test_every_unicode_space_becomes_a_plain_one(space: str):
    assert normalise(f"10{space}€") == "10 €"


def test_characters_that_only_allow_a_line_break_are_removed():
    for invisible in "\xad\u200b\u2060\ufeff":
        assert normalise(f"Donau{invisible}schiff") == "Donauschiff"
        assert normalise(f"{invisible}wort") == "wort"
    assert normalise("e\xad\u0301") == "é"  # composed after the hyphen has gone


def test_joiners_and_direction_marks_are_kept():
    persian, urdu, hindi = "می\u200cخواهم", "کے\u200cلیے", "क्\u200dष"
    for line in (persian, urdu, hindi, "👩\u200d👩\u200d👧", "a\u200eb\u200fc", "\u2067שלום\u2069 x"):
        assert normalise(line) == line


def test_first_normalisation_version_is_unchanged():
    line = "10\xa0€\u3000a\u200bb c\xadd\ufeffe e\u0301\tf"
    assert normalise(line, 1) == "10\xa0€\u3000a\u200bb c\xadd e é f"
    assert normalise(line, 2) == "10 € ab cde é f"
    assert text_form_of({}) == 1
    assert text_form_of({"text_form": 2}) == 2
    for unknown in (3, 0, "2", None):
        with pytest.raises(UserError, match="text_form"):
            text_form_of({"text_form": unknown})


def test_the_first_control_character_is_found():
    assert find_control("plain text") == -1
    assert find_control("ab\x85c\x00") == 2


def test_newstest_lines_with_next_line_characters_are_not_split(corpora_root: Path):
    folder = corpora_root / "wmt-newstest-de-en"
    german, english = (list(read_lines(folder / f"train.{language}")) for language in ("de", "en"))
    assert len(german) == len(english) == 27_516
    assert sum("\x85" in line for line in german) == 8


def test_leading_byte_order_mark_is_stripped():
    assert list(read_ended_lines(io.BytesIO(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo"))) == [("one", "\n"), ("\ufefftwo", "")]
    assert list(read_ended_lines(io.BytesIO(b"\xef\xbb\xbf\n"))) == [("", "\n")]


def test_utf_32_is_named(tmp_path: Path):
    (tmp_path / "text").write_bytes("Grüße\n".encode("utf-32"))
    with pytest.raises(UserError, match=r"text is UTF-32, by the byte order mark .* iconv -f UTF-32 -t UTF-8$"):
        list(read_lines(tmp_path / "text"))
