"""Tables as programs and people write them: notes in front, titles, sheets, spaces, marks over several lines."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import openpyxl
import pytest

from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.direction import with_languages
from translate.data.formats.preambles import find_preamble
from translate.data.readers import read_rows, read_scores
from translate.errors import UserError

PAIRS = [(f"A sentence, the {n}th.", f"Ein Satz, der {n}te.") for n in range(20)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table"


def written(rows, **options) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, **options).writerows(rows)
    return stream.getvalue()


def pairs(path: Path, **options) -> list[tuple[str, str]]:
    """The pairs that are read; no row may have a problem."""
    rows = list(read_rows(CorpusConfig(path=str(path), **options), key="data.train"))
    assert [row.problem for row in rows if row.problem] == []
    return [(row.source, row.target) for row in rows]


def languages(path: Path) -> tuple[str, str]:
    data = with_languages(DataConfig(train=CorpusConfig(path=str(path))))
    return data.source_language, data.target_language


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("note", ["sep=;\r\n", '"sep=;"\r\n'])
def test_the_note_of_the_delimiter_is_no_row_and_hides_no_header(file, encoding, note):
    file.write_bytes((note + written([("English", "German"), *PAIRS], delimiter=";")).encode(encoding))
    assert languages(file) == ("en", "de")
    assert pairs(file) == PAIRS
    assert next(read_rows(CorpusConfig(path=str(file)), key="data.train")).line == 3


@pytest.mark.parametrize(
    ("name", "delimiter"), [("tab", "\t"), ("Semicolon", ";"), ("Comma", ","), ("Pipe", "|"), ("Space", " ")]
)
def test_the_header_of_an_anki_export_names_its_delimiter(file, name, delimiter):
    file.write_text(f"#separator:{name}\n#html:false\n" + written(PAIRS, delimiter=delimiter), encoding="utf-8")
    assert pairs(file) == PAIRS


def test_html_deck_and_tags_of_an_anki_export_are_no_text(file):
    notes = [("My deck", f"<b>{a}</b>", f"{b}<br>&amp; &lt;so&gt;", "a tag") for a, b in PAIRS[:3]]
    head = "#separator:tab\n#html:true\n#deck column:1\n#tags column:4\n"
    file.write_text(head + written(notes, delimiter="\t"), encoding="utf-8")
    assert pairs(file) == [(a, f"{b} & <so>") for a, b in PAIRS[:3]]


def test_columns_of_an_anki_export_are_its_header(file):
    head = "#separator:Comma\n#html:false\n#columns:German,English\n"
    file.write_text(head + written([pair[::-1] for pair in PAIRS]), encoding="utf-8")
    assert languages(file) == ("de", "en")
    assert pairs(file, source="English", target="German") == PAIRS


def test_the_log_says_which_language_a_column_without_a_name_is_taken_for(file, caplog):
    file.write_text(written(PAIRS), encoding="utf-8")
    with caplog.at_level(logging.INFO, logger="translate"):
        assert pairs(file, source_language="de", target_language="en") == PAIRS
    assert "source (de) is column 1, 'A sentence, the 0th.', target (en) is column 2, 'Ein Satz" in caplog.text


def test_text_that_begins_with_a_number_sign_is_no_preamble():
    for line in (
        "#1\tNummer 1\n",
        "#html\n",
        "#tags: the hashtag\t#tags: das Hashtag\n",
        "# separator:tab\n",
        "sep=ab\n",
    ):
        assert find_preamble([line]).num_lines == 0, line


def test_titles_above_a_header_are_no_pairs_and_hide_no_header(file):
    file.write_text("My glossary,\n,\n" + written([("English", "German"), *PAIRS]), encoding="utf-8")
    assert languages(file) == ("en", "de")
    found = [(row.source, row.target) for row in read_rows(CorpusConfig(path=str(file)), key="data.train")]
    assert found == [("My glossary", ""), ("", ""), *PAIRS]


def test_quotation_marks_over_several_lines_in_every_row_are_removed(file):
    broken = [tuple(side.replace(" ", "\n", 1) for side in pair) for pair in PAIRS]
    file.write_bytes(written([("English", "German"), *broken], delimiter="\t").encode("utf-16"))
    assert pairs(file) == PAIRS


def test_marks_that_are_text_join_no_lines(file):
    rows = [(f'"{a}', f'"{b}') if n % 2 else (f'{a}"', f'{b}"') for n, (a, b) in enumerate(PAIRS)]
    file.write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    assert pairs(file) == rows


def test_spaces_before_quotation_marks_move_no_text_to_other_columns(file):
    rows = "".join(f'"{a}", "{b}"\n' for a, b in PAIRS)
    file.write_text(f"en, de\n{rows}", encoding="utf-8")
    assert pairs(file) == PAIRS


def test_a_header_is_no_pair_where_columns_are_numbers(file):
    rows = [("id", "en", "de", "score"), *((n, *pair, n / 20) for n, pair in enumerate(PAIRS))]
    file.write_text(written(rows, delimiter="\t"), encoding="utf-8")
    assert pairs(file, source="2", target="3") == PAIRS
    numbered = CorpusConfig(path=str(file), score="4")
    assert list(read_scores(numbered, key="data.train")) == [n / 20 for n in range(20)]
    # like `cut -f`
    assert len(pairs(file, source="2", target="3", format=CorpusFormat.tsv)) == len(PAIRS) + 1


def test_a_name_of_two_columns_is_refused(file):
    file.write_text(written([("en", "en", "de"), *(("x", *pair) for pair in PAIRS)]), encoding="utf-8")
    with pytest.raises(UserError, match=r"line 1: 2 columns are 'en': give numbers"):
        pairs(file, source="en", target="de")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('#separator:tab\n"', "no rows with text"),
        ("a b,c d\re f,g h\r", r"lines end in CR alone.*tr '\\r' '\\n'"),
        ("<HTML>\n<BODY>a\tb</BODY>\n", "XML or HTML"),
        ("<corpus>\n\t<s>a</s>\n\t<s>b</s>\n</corpus>\n", "XML or HTML"),
        ('<srcset setid="x">\n<seg id="1">Hello.</seg>\n', "XML or HTML"),
    ],
)
def test_other_files_are_named(file, content, message):
    file.write_bytes(content.encode())
    with pytest.raises(UserError, match=message):
        pairs(file)


def test_tags_in_cells_are_text(file):
    rows = [(f"<b>{a}</b>", b) for a, b in PAIRS]
    file.write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    assert pairs(file) == rows


def test_words_of_other_scripts_with_digits_are_no_identifiers(file):
    rows = [(f"你好世界{n}号", f"Hello world {n}") for n in range(20)]
    file.write_text(written(rows), encoding="utf-8")
    assert pairs(file) == rows


def test_a_corpus_that_skip_leaves_out_is_no_empty_file(file):
    file.write_text(written(PAIRS), encoding="utf-8")
    with pytest.raises(UserError, match=r"no pairs after the first 20, which data\.train\.skip leaves out"):
        pairs(file, skip=20)


def book(path: Path, *sheets, hidden: int | None = None) -> None:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.worksheets[0])
    for number, rows in enumerate(sheets):
        sheet = workbook.create_sheet(f"sheet {number}")
        sheet.sheet_state = "hidden" if number == hidden else "visible"
        for row in rows:
            sheet.append(row)
    workbook.save(path)


TABLE = [("English", "German"), *PAIRS]


def test_hidden_sheets_and_sheets_without_two_columns_are_passed_over(file):
    book(file, [("a", "b"), ("c", "d")], [("About this file",)], TABLE, hidden=0)
    assert pairs(file) == PAIRS


def test_sheets_that_are_not_read_are_named(file, caplog):
    book(file, TABLE, [("x", "y")], [("notes",)])
    with caplog.at_level(logging.WARNING, logger="translate"):
        assert pairs(file) == PAIRS
    assert "only the sheet sheet 0 is read, not sheet 1;" in caplog.text


def test_titles_in_a_sheet_are_no_header(file):
    book(file, [("A corpus", None), *TABLE])
    assert languages(file) == ("en", "de")
    rows = list(read_rows(CorpusConfig(path=str(file)), key="data.train"))
    assert [(row.source, row.target) for row in rows if not row.problem] == PAIRS


def test_rows_with_a_format_alone_are_none(file):
    workbook = openpyxl.Workbook()
    for row in TABLE:
        workbook.worksheets[0].append(row)
    workbook.worksheets[0].cell(5000, 1).font = openpyxl.styles.Font(bold=True)
    workbook.save(file)
    assert pairs(file) == PAIRS


def test_carriage_returns_of_excel_are_line_breaks(file):
    book(file, [("English", "German"), *((f"{a}_x000D_\nAnd more.", b) for a, b in PAIRS)])
    assert pairs(file) == [(f"{a} And more.", b) for a, b in PAIRS]


def test_a_workbook_without_rows_is_empty(file):
    book(file, [])
    with pytest.raises(UserError, match="no rows with text"):
        pairs(file)
