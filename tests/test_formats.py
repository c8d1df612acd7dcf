"""Files of all formats are recognised by their content, and give the pairs that were written."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import os
import tarfile
import threading
from pathlib import Path

import openpyxl
import pytest

from corpus_files import COMPRESSIONS, FORMATS, attributed, comma, csv_bytes, quoted_tsv, write_file
from translate import opening
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.recognition import recognise
from translate.data.readers import read_pairs, read_rows
from translate.errors import UserError
from translate.text import count_lines, read_lines, read_windows

PAIRS = [
    ("The cat sleeps on the old red chair.", "Die Katze schläft auf dem alten roten Stuhl."),
    ('She says "yes" to almost every question.', 'Sie sagt zu fast jeder Frage "Ja".'),
    ("First, a comma; then a semicolon.", "Erst ein Komma, dann ein Semikolon; fertig."),
    ('"Come here!"', "„Komm her!“"),
    ("It's 5 o'clock.", "Es ist 5 Uhr."),
    *((f"Train number {number} is late, again.", f"Zug {number} ist wieder zu spät.") for number in range(20)),
]


def pairs_of(path: str | Path, **options) -> list[tuple[str, str]]:
    rows = read_rows(CorpusConfig(path=str(path), **options), key="data.train")
    return [(row.source, row.target) for row in rows if not row.problem]


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_each_form_gives_the_pairs_that_were_written(tmp_path: Path, name: str):
    path = write_file(tmp_path, name, PAIRS)
    assert recognise(path) is FORMATS[name][1]
    assert pairs_of(path) == PAIRS
    swapped = [(target, source) for source, target in PAIRS]
    if name in ("comma", "semicolon", "quoted TSV", "JSON lines", "JSON object", "Parquet"):  # columns by language
        assert pairs_of(path, source_language="de", target_language="en") == swapped


@pytest.mark.parametrize("name", FORMATS)
def test_multi30k_is_the_same_training_set_in_each_format(tmp_path: Path, corpora_root: Path, name: str):
    sides = [list(read_lines(corpora_root / "multi30k" / f"train.{language}"))[:5000] for language in ("en", "de")]
    pairs = list(zip(*sides, strict=True))
    assert pairs_of(write_file(tmp_path, name, pairs)) == pairs


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compressed_file_is_read_whatever_its_name(tmp_path: Path, compression: str):
    compress = COMPRESSIONS[compression]
    assert pairs_of(write(tmp_path / "a", compress(comma(PAIRS)))) == PAIRS
    sides = [
        write(tmp_path / str(side), compress("".join(f"{pair[side]}\n" for pair in PAIRS).encode())) for side in (0, 1)
    ]
    assert list(read_pairs(CorpusConfig(source=str(sides[0]), target=str(sides[1])), key="data.train")) == PAIRS
    write(tmp_path / "a", compress(comma(PAIRS))[:-30])
    with pytest.raises(UserError, match=f"a: not a complete {compression} file"):
        pairs_of(tmp_path / "a")


STREAMED = [bytes, gzip.compress, lzma.compress, bz2.compress, lambda raw: raw.decode().encode("utf-16")]


@pytest.mark.parametrize("change", STREAMED)
def test_a_pipe_is_read_by_its_content_as_lines_arrive(tmp_path: Path, change):
    os.mkfifo(tmp_path / "pipe")
    written = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[change("één\ntwo\n".encode())])
    written.start()
    assert [line.text for window in read_windows(tmp_path / "pipe") for line in window] == ["één", "two"]
    written.join()


def test_a_zip_archive_in_a_pipe_is_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    written = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[COMPRESSIONS["zip"](b"one\n")])
    written.start()
    with pytest.raises(UserError, match="pipe: a zip archive has its index at its end"):
        list(read_lines(tmp_path / "pipe"))
    written.join()


def test_only_files_that_every_program_reads_alike_are_plain(tmp_path: Path):
    for name, content, expected in [
        ("a", b"text\n", True),
        ("a.gz", b"text\n", False),
        ("a", COMPRESSIONS["bz2"](b"text\n"), False),
        ("a", "\ufefftext".encode(), False),
        ("a", "text".encode("utf-16"), False),
    ]:
        assert opening.is_plain(write(tmp_path / name, content)) is expected


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compression_bomb_is_an_error(tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opening, "MAX_SMALL_FILE", 1 << 20)
    line = b"The same line again and again.\n"
    path = write(tmp_path / "bomb", COMPRESSIONS[compression](line * 100_000))
    with pytest.raises(UserError, match=r"bomb: decompressed, it is more than 1,.* bytes, over 200 times"):
        count_lines(path)
    path.write_bytes(COMPRESSIONS[compression](line * 10_000))
    assert count_lines(path) == 10_000


def test_files_of_another_kind_are_named(tmp_path: Path):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    for content, message in [
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), r"is a document of Office 97 to 2003 \(.doc, .xls, .ppt\); save it as"),
        (b"\x89PNG\r\n\x1a\n", r"is an image \(PNG\)"),
        (b"\x28\xb5\x2f\xfd0", "is compressed with zstd; decompress it first: unzstd"),
        (archive.getvalue(), "is a tar archive; unpack it first: tar xf"),
        (
            "Schöne Grüße\tBest wishes\n".encode("latin-1"),
            r", line 1, byte 4: 0xf6 .* iconv -f WINDOWS-1252 -t UTF-8, if .Schöne Grüße",
        ),
        (b"<?xml version='1.0'?><svg/>", "is XML or HTML of another kind; known formats: "),
        (b"\n \n", "the file is empty"),
        (
            b"A text, of lines.\nWithout any columns.\nBut, as ever, with some commas.\n",
            "lines of text without columns",
        ),
    ]:
        with pytest.raises(UserError, match=f"^data.train: .*/a:? ?{message}"):
            pairs_of(write(tmp_path / "a", content))
    book = write(tmp_path / "a", FORMATS["workbook"][0](PAIRS))
    with pytest.raises(UserError, match=r"is an Excel workbook \(.xlsx\); name it with path="):
        list(read_lines(book))


def test_quotation_marks_of_a_tsv_are_removed_only_where_a_program_put_them(tmp_path: Path):
    quotations = (
        'He left.\tEr ging.\n"Come!" she said, and went.\t„Komm!“, sagte sie.\n"Yes."\t"Ja."\nOh, no!\tO nein!\n'
    )
    path = write(tmp_path / "a.tsv", quotations)
    assert pairs_of(path)[1:3] == [('"Come!" she said, and went.', "„Komm!“, sagte sie."), ('"Yes."', '"Ja."')]
    path = write(tmp_path / "a.tsv", quoted_tsv(PAIRS))
    assert pairs_of(path) == PAIRS
    kept = pairs_of(path, format=CorpusFormat.tsv, source="1", target="2")[1]
    assert kept == tuple(f'"{text}"{end}' for text, end in zip(PAIRS[0], ("", "\r"), strict=True))


def test_line_breaks_in_cells_become_spaces_and_lines_are_counted_in_the_file(tmp_path: Path):
    rows = [("en", "de"), ("one\r\nline", "eine\nZeile"), ("two lines", "zwei Zeilen")]
    path = write(tmp_path / "a.csv", csv_bytes(rows))
    found = [(row.line, row.source, row.target) for row in read_rows(CorpusConfig(path=str(path)), key="data.train")]
    assert found == [(2, "one line", "eine Zeile"), (5, "two lines", "zwei Zeilen")]


def test_odd_rows_are_problems_with_their_lines(tmp_path: Path):
    odd = ["only one", "", 'a "good" one,ein "guter"', 'an "ill" one,"nicht" gut', "a,b,c", '"open,']
    path = write(tmp_path / "a.csv", comma(PAIRS) + "\n".join(odd).encode())
    rows = list(read_rows(CorpusConfig(path=str(path)), key="data.train"))
    first = len(PAIRS) + 2
    assert [(row.line - first, row.problem.split(" (")[0]) for row in rows if row.problem] == [
        (0, "column 2 of 1 is missing"),
        (1, "a blank line"),
        (3, "unbalanced quotation marks, or a very long cell"),
        (4, "3 columns instead of 2"),
        (5, "unbalanced quotation marks, or a very long cell"),
    ]
    path = write(tmp_path / "a.tsv", "en\tde\n" + "one\teins\n" + "two\n" * 2)
    with pytest.raises(
        UserError, match=r"a\.tsv, line 3: column 2 of 1 is missing; 2 of 3 rows are not sentence pairs"
    ):
        pairs_of(path, format=CorpusFormat.tsv)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("en", "de", "fr"), ("a b", "c d", "e f")],
            r"columns in 3 languages \(en, de, fr\): choose by data.source_lang",
        ),
        (
            [("en", "de"), ("a b", "c d")],
            r"no column for fr \(data.source_language, data.target_language\), only en, de",
        ),
        (
            [("The cat.", "Die Katze.", "Le chat."), ("One.", "Eins.", "Un.")],
            r"3 of its columns contain text, .* 1 \(The cat",
        ),
        (
            [("id", "text"), ("1", "one two"), ("2", "three four")],
            r"1 of its columns contain text, .* two of id, text$",
        ),
    ],
)
def test_columns_that_cannot_be_told_are_listed(tmp_path: Path, rows, message: str):
    path = write(tmp_path / "a.csv", csv_bytes(rows))
    options = {"source_language": "fr", "target_language": "en"} if "for fr" in message else {}
    with pytest.raises(UserError, match=message):
        pairs_of(path, **options)


def test_languages_choose_among_several_columns(tmp_path: Path):
    path = write(tmp_path / "a.csv", csv_bytes([("en", "German", "fr_FR", "id"), ("a b", "c d", "e f", "7")]))
    for source, target, pair in [
        ("fra", "de", ("e f", "c d")),
        ("german", "en", ("c d", "a b")),
        ("id", "en", ("7", "a b")),
    ]:
        assert pairs_of(path, source_language=source, target_language=target) == [pair]


def test_columns_of_numbers_identifiers_and_licences_are_no_sides(tmp_path: Path):
    rows = [(str(n), f"Sentence {n} here.", f"a{n}", f"Satz {n} hier.", "en") for n in range(20)]
    assert pairs_of(write(tmp_path / "a", csv_bytes(rows)))[3] == ("Sentence 3 here.", "Satz 3 hier.")
    assert pairs_of(write(tmp_path / "a", attributed([("Hi.", "Hallo!"), ("Run!", "Lauf!")])))[0] == ("Hi.", "Hallo!")


def test_numbers_and_dates_of_a_workbook_are_text_and_empty_cells_are_blank(tmp_path: Path):
    book = openpyxl.Workbook()
    for row in [
        ("id", "English", "German"),
        (1, "two words", "zwei Wörter"),
        (2, 3, 3.5),
        (3, None, "x"),
        (),
        (5, "a b"),
    ]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    rows = list(read_rows(CorpusConfig(path=str(tmp_path / "a.xlsx")), key="data.train"))
    assert [row[1:] for row in rows] == [
        (2, "two words", "zwei Wörter", ""),
        (3, "3", "3.5", ""),
        (4, "", "x", ""),
        (5, "", "", "a blank line"),
        (6, "", "", "column 3 of 2 is missing"),
    ]


def test_a_workbook_with_entities_or_a_damaged_one_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.xlsx", FORMATS["workbook"][0](PAIRS)[:-40])
    with pytest.raises(UserError, match=r"a\.xlsx: not a complete zip file"):
        pairs_of(path)


def test_a_dialect_may_be_anything_that_csv_writes(tmp_path: Path):
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC):
        for delimiter in ",;\t":
            for end in ("\n", "\r\n"):
                content = csv_bytes(PAIRS, quoting=quoting, delimiter=delimiter, lineterminator=end)
                assert pairs_of(write(tmp_path / "a", content)) == PAIRS, (quoting, delimiter, end)
