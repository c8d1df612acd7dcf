"""Readers of PO files and of OPUS's zip archives."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from translate.data.corpus import CorpusConfig
from translate.data.readers import read_rows
from translate.errors import UserError
from translation_formats import PAIRS, write_moses

HEADER = r"""# Comment.
#, fuzzy
msgid ""
msgstr ""
"Language: de_DE\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"
"""
PO = (
    HEADER
    + r"""
#: main.c:3
msgctxt "menu"
msgid "Open"
msgstr "Öffnen"

msgid ""
"A long \"quoted\"\n"
"message"
msgstr ""
"Eine lange „zitierte“\n"
"Nachricht"

msgid "one file"
msgid_plural "%d files"
msgstr[0] "eine Datei"
msgstr[1] "%d Dateien"

#, fuzzy, c-format
#| msgid "Clse"
msgid "Close"
msgstr "Geschlossen"

msgid "Untranslated"
msgstr ""

#~ msgid "Gone"
#~ msgstr "Weg"
"""
)


def rows(path: Path, **options: str) -> list[tuple[str, str]]:
    found = list(read_rows(CorpusConfig(path=str(path), **options), key="data.train"))
    return [(row.source, row.target) for row in found if not row.problem]


def problems(path: Path) -> list[tuple[int, str]]:
    return [(row.line, row.problem) for row in read_rows(CorpusConfig(path=str(path)), key="data.train") if row.problem]


@pytest.fixture
def po(tmp_path: Path) -> Path:
    path = tmp_path / "messages"
    path.write_text(PO)
    return path


def test_translated_messages_are_pairs_and_the_others_are_counted(po):
    pairs = [
        ("Open", "Öffnen"),
        ('A long "quoted" message', "Eine lange „zitierte“ Nachricht"),
        ("one file", "eine Datei"),
        ("%d files", "%d Dateien"),
    ]
    assert rows(po) == pairs
    assert problems(po) == [(26, "a translation marked as fuzzy"), (31, "no translation"), (34, "an obsolete message")]
    swapped = [(target, source) for source, target in pairs]
    assert rows(po, source_language="de", target_language="en") == swapped
    assert rows(po, source_language="de") == swapped
    assert rows(po, source="msgstr", target="msgid") == swapped


def test_a_language_with_one_plural_form_translates_the_plural(po):
    po.write_text(HEADER + 'msgid "a file"\nmsgid_plural "files"\nmsgstr[0] "Datei"\n')
    assert rows(po) == [("files", "Datei")]


def test_a_po_file_of_another_language_is_refused(po):
    with pytest.raises(UserError, match=r"2 languages \(unnamed, de_DE\): en and fr are not these"):
        rows(po, source_language="en", target_language="fr")


def test_line_separators_of_unicode_do_not_end_lines_of_po(po):
    po.write_text(HEADER + 'msgid "a\u2028b\x85c"\nmsgstr "d"\n')
    assert rows(po) == [("a\u2028b\x85c", "d")]


def test_the_encoding_is_the_one_in_the_header(po):
    po.write_bytes(PO.replace("UTF-8", "windows-1252").encode("windows-1252"))
    assert rows(po)[0] == ("Open", "Öffnen")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PO.replace('msgid "Open"', 'mgsid "Open"'), r"Syntax error.*line 12"),
        (PO.replace('msgstr "Öffnen"', 'msgstr[x] "Öffnen"'), "cannot be read as PO"),
        (PO.encode().replace(b"\xc3\x96", b"\xff"), "not UTF-8, the charset in its header"),
        (b"/etc/hostname", "cannot be read as PO|empty"),
        (HEADER, "empty"),
    ],
)
def test_damaged_po_files_are_refused(po, content, message):
    po.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        rows(po, format="po")


def test_a_po_file_that_is_too_large_is_refused(po, monkeypatch):
    monkeypatch.setattr("translate.data.formats.catalogues._MAX_BYTES", 100)
    with pytest.raises(UserError, match="more than 100 bytes in one PO file; split it"):
        rows(po)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "opus"
    write_moses(path, PAIRS, "en", "pt_BR")
    return path


def test_the_members_of_an_opus_zip_are_the_sides(archive):
    assert rows(archive) == PAIRS
    assert rows(archive, source_language="pt", target_language="en") == [pair[::-1] for pair in PAIRS]
    with pytest.raises(UserError, match=r"2 languages \(en, pt_BR\): de is none of them"):
        rows(archive, target_language="de")


def make_zip(path: Path, **members: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)


def test_several_corpora_in_one_zip_are_read_one_after_the_other(archive):
    make_zip(archive, **{"a.en-de.en": "1\n", "a.en-de.de": "I\n", "b.de-en.de": "II\n", "b.de-en.en": "2\n"})
    assert rows(archive) == [("1", "I"), ("2", "II")]


def test_sides_of_different_lengths_are_refused(archive):
    make_zip(archive, **{"a.en-de.en": "1\n2\n", "a.en-de.de": "I\n"})
    with pytest.raises(UserError, match=r"same number of lines, but a.en-de.en has 2 and a.en-de.de has 1"):
        rows(archive)


def test_paths_out_of_the_archive_are_only_names(archive):
    make_zip(archive, **{"../../x.en-de.en": "1\n", "../../x.en-de.de": "I\n"})
    before = sorted(archive.parent.parent.rglob("*"))
    assert rows(archive) == [("1", "I")]
    assert sorted(archive.parent.parent.rglob("*")) == before


def test_a_zip_bomb_is_refused_before_it_is_unpacked(archive, monkeypatch):
    monkeypatch.setattr("translate.data.formats.archives.MAX_SMALL_FILE", 1 << 20)
    make_zip(archive, **{"a.en-de.en": "\n" * (1 << 22), "a.en-de.de": "\n" * (1 << 22)})
    with pytest.raises(UserError, match=r"a.en-de.en has 4,194,304 bytes, over 200 times its size in the archive"):
        rows(archive)


def damaged(archive: Path) -> bytes:
    """The archive with other bytes in the middle of the first side's data."""
    content = archive.read_bytes()
    with zipfile.ZipFile(archive) as file:
        start = file.getinfo("Corpus.en-pt_BR.en").header_offset + 60
    return content[:start] + b"\xff" * 20 + content[start + 20 :]


def test_damaged_archives_are_refused(archive):
    content = archive.read_bytes()
    for changed in (damaged(archive), content[:-100]):
        archive.write_bytes(changed)
        with pytest.raises(UserError, match=r"damaged zip file|not a complete zip file"):
            rows(archive, format="moses")


def test_an_encrypted_archive_is_refused(archive):
    content = archive.read_bytes()
    for signature, offset in ((b"PK\x03\x04", 2), (b"PK\x01\x02", 4)):  # of the flags, in both headers of a member
        before, *members = content.split(signature)
        flagged = [part[:offset] + bytes([part[offset] | 1]) + part[offset + 1 :] for part in members]
        content = signature.join([before, *flagged])
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"encrypted.*unpack it yourself"):
        rows(archive, format="moses")


def test_a_line_that_is_not_utf_8_is_named(archive):
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.en-de.en", b"one\n\xff\n")
        file.writestr("a.en-de.de", b"eins\nzwei\n")
    with pytest.raises(UserError, match=r"opus: a.en-de.en, line 2"):
        rows(archive)


def test_the_first_message_of_a_catalogue_without_a_header_has_a_line(tmp_path):
    path = tmp_path / "a.po"
    path.write_text('# Free.\n\nmsgid "One"\nmsgstr "Eins"\n\nmsgid "Two"\nmsgstr "Zwei"\n', encoding="utf-8")
    config = CorpusConfig(path=str(path), source_language="en", target_language="de")
    found = list(read_rows(config, key="data.train"))
    assert [(row.source, row.target) for row in found] == [("One", "Eins"), ("Two", "Zwei")]
    assert all(row.line > 0 for row in found)


def test_headers_of_catalogues_put_end_to_end_are_no_messages(tmp_path):
    (tmp_path / "a.po").write_text(PO + "\n" + PO.replace("Open", "Reopen"), encoding="utf-8")
    found = list(read_rows(CorpusConfig(path=str(tmp_path / "a.po")), key="data.train"))
    assert all("charset" not in row.source + row.target for row in found)
    assert len([row for row in found if not row.problem]) == 8


@pytest.mark.parametrize("line", ['msgid "Hello', 'msgstr "Hello\\"', '"Hello', '  msgstr[0] "Hello  '])
def test_a_text_without_its_second_quotation_mark_loses_no_character(tmp_path, line):
    (tmp_path / "a.po").write_text(f'{PO}\nmsgid "Last"\nmsgstr "Letzt"\n{line}\n', encoding="utf-8")
    with pytest.raises(
        UserError, match=rf"cannot be read as PO: no second quotation mark in line {len(PO.splitlines()) + 4}"
    ):
        rows(tmp_path / "a.po")


def archive_of(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, f"{name} one\n{name} two\n")
    return path


def test_of_an_archive_of_several_directions_the_wanted_one_is_read(tmp_path):
    path = archive_of(tmp_path / "a.zip", "x.de-en.de", "x.de-en.en", "y.en-fr.en", "y.en-fr.fr")
    found = rows(path, source_language="fr", target_language="en")
    assert found == [(f"y.en-fr.fr {word}", f"y.en-fr.en {word}") for word in ("one", "two")]
    with pytest.raises(UserError, match=r"no two of its files \(.*\) are de and fr"):
        rows(path, source_language="de", target_language="fr")


def test_languages_of_an_archive_may_have_scripts(tmp_path):
    path = archive_of(tmp_path / "a.zip", "x.en-zh-Hans.en", "x.en-zh-Hans.zh-Hans")
    assert rows(path, source_language="en", target_language="zh")[0][1] == "x.en-zh-Hans.zh-Hans one"


def test_columns_of_an_archive_are_refused(tmp_path):
    path = archive_of(tmp_path / "a.zip", "x.de-en.de", "x.de-en.en")
    with pytest.raises(
        UserError, match=r"has no columns source=en target=de; choose its sides by data\.source_language"
    ):
        rows(path, source="en", target="de")
