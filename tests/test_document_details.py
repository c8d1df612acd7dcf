"""Documents as other programs write them: changes by people, fields, templates, half of the translations, line ends."""

from __future__ import annotations

import csv
import io
import re
import zipfile

import docx
import polib
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from lxml import etree

from document_formats import translated, word_file
from fake_translators import copier
from translate.decode import DecodeConfig, check_files, open_document, translate_document
from translate.documents.document import DocumentFormat
from translate.documents.inline import Kind, Segment
from translate.errors import UserError


def run(text: str, before: str = "") -> str:
    return f'<w:r>{before}<w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph_of(inner: str) -> str:
    """XML of a paragraph after translation, without the declarations of namespaces."""
    document = docx.Document()
    document.element.body.insert(0, parse_xml(f"<w:p {nsdecls('w')}>{inner}</w:p>"))
    output = translated(word_file(document), DocumentFormat.docx)
    docx.Document(io.BytesIO(output))
    written = zipfile.ZipFile(io.BytesIO(output)).read("word/document.xml").decode()
    return written[written.index("<w:p>") + 5 : written.index("</w:p>")]


def test_docx_leaves_text_that_was_deleted_or_moved_elsewhere():
    gone = f'<w:moveFrom w:id="1" w:author="a">{run("gone ")}</w:moveFrom>'
    there = f'<w:moveTo w:id="2" w:author="a">{run("there")}</w:moveTo>'
    assert paragraph_of(run("one ") + gone + there) == run("ONE ") + gone + there.replace("there", "THERE")


@pytest.mark.parametrize(
    ("instruction", "result"), [("REF _1 \\h", "Table 4"), ("MERGEFIELD n", "«Name»"), ("HYPERLINK x", "TABLE 4")]
)
def test_docx_keeps_the_results_of_fields_that_word_computes(instruction, result):
    marks = [f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>' for kind in ("begin", "separate", "end")]
    before = result if result != "TABLE 4" else "Table 4"
    for start, end in [
        (f"{marks[0]}<w:r><w:instrText>{instruction}</w:instrText></w:r>{marks[1]}", marks[2]),
        (f'<w:fldSimple w:instr="{instruction}">', "</w:fldSimple>"),
    ]:
        field = f"{start}{{}}{end}"
        found = paragraph_of(run("See ") + field.format(run(before)) + run(" for more"))
        assert found == run("SEE ") + field.format(run(result)) + run(" FOR MORE")


def test_docx_reads_hyphens_within_a_word_and_not_its_reading():
    hyphens = (
        '<w:r><w:t>co</w:t><w:noBreakHyphen/><w:t xml:space="preserve">op</w:t><w:softHyphen/><w:t>era</w:t></w:r>'
    )
    assert paragraph_of(hyphens).startswith('<w:r><w:t xml:space="preserve">CO-OPERA</w:t>')
    ruby = "<w:r><w:ruby><w:rt><w:r><w:t>ka</w:t></w:r></w:rt><w:rubyBase>{}</w:rubyBase></w:ruby></w:r>"
    assert paragraph_of(ruby.format(run("a"))) == ruby.format(run("A"))
    assert paragraph_of("<w:r><w:t>12</w:t><w:noBreakHyphen/><w:t>3</w:t></w:r>") == (
        "<w:r><w:t>12</w:t><w:noBreakHyphen/><w:t>3</w:t></w:r>"
    )


def test_docx_with_two_files_of_one_name_is_damaged():
    output = io.BytesIO(word_file(None, "text"))
    with zipfile.ZipFile(output, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("word/document.xml", b"<a/>")
    with pytest.raises(UserError, match="two of its files have one name"):
        translated(output.getvalue(), DocumentFormat.docx)


XLIFF = '<xliff version="1.2"><file source-language="{}"><body>{}</body></file></xliff>'


def targets(unit: str, **options: object) -> list[str]:
    root = etree.fromstring(
        translated(XLIFF.format("en", f"<trans-unit>{unit}</trans-unit>"), DocumentFormat.xliff, **options)
    )
    return ["".join(target.itertext()) for target in root.iter("target")]


def test_xliff_fills_targets_that_have_markup_and_no_text():
    segments = '<g id="1"><mrk mtype="seg" mid="1">{}</mrk> <mrk mtype="seg" mid="2">{}</mrk></g>'
    source = f"<source>One. Two.</source><seg-source>{segments.format('One.', 'Two.')}</seg-source>"
    assert targets(f"{source}<target>{segments.format('', '')}</target>") == ["ONE. TWO."]
    assert targets(f"{source}<target>{segments.format('Eins.', '')}</target>") == ["Eins. TWO."]
    assert targets(f"{source}<target>{segments.format('Eins.', 'Zwei.')}</target>") == ["Eins. Zwei."]
    assert targets('<source>a<x id="1"/></source><target><x id="1"/></target>') == ["A"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{0}", "{0} {b} {c}"),
        ("{1}", "{a} {1} {c}"),
        ("{2}", "{a} {b} {2}"),
        ("{0} {2}", "{0} {b} {2}"),
        ("<g>{1}</g>", "<g>{a} {1} {c}</g>"),
        ("all", "all"),  # a translation without segments stays as it is
    ],
)
def test_xliff_adds_the_segments_that_a_target_lacks(given, expected):
    def mark(number: int, text: str) -> str:
        return f'<mrk mtype="seg" mid="{number}">{text}</mrk>'

    done = [mark(number, "x") for number in range(3)]
    added = {name: mark(number, f"{name.upper()}.") for number, name in enumerate("abc")}
    source = " ".join(mark(number, f"{name}.") for number, name in enumerate("abc"))
    unit = f"<source>s</source><seg-source>{source}</seg-source><target>{given.format(*done)}</target>"
    document = XLIFF.format("en", f"<trans-unit>{unit}</trans-unit>")
    found = translated(document, DocumentFormat.xliff).decode()
    assert re.search(r"<target[^>]*>(.*)</target>", found)[1] == expected.format(*done, **added)


def test_xliff_in_another_language_is_refused():
    with pytest.raises(UserError, match="is in fr, and the model translates from en: choose another model"):
        translated(XLIFF.format("fr", ""), DocumentFormat.xliff)
    assert translated(XLIFF.format("fr", ""), DocumentFormat.xliff, source_language="")
    with pytest.raises(UserError, match="is in fr, and"):
        translated('<xliff version="2.0" srcLang="fr" trgLang="de"/>', DocumentFormat.xliff)


def test_xliff_translated_again_is_no_longer_approved():
    unit = '<trans-unit approved="yes"><source>a</source><target>b</target></trans-unit>'
    assert b'approved="yes"' in translated(XLIFF.format("en", unit), DocumentFormat.xliff)
    assert b'approved="no"' in translated(XLIFF.format("en", unit), DocumentFormat.xliff, overwrite=True)


def test_xml_keeps_its_declaration_line_ends_and_cdata():
    kept = "<trans-unit translate='no'><source><![CDATA[a <b>]]></source></trans-unit>\r\n"
    document = f"<?xml version='1.0'  encoding='utf-8'?>\r\n{XLIFF.format('en', kept)}\r\n"
    output = translated(document, DocumentFormat.xliff).decode()
    assert output.startswith("<?xml version='1.0'  encoding='utf-8'?>\r\n<xliff")
    assert "<source><![CDATA[a <b>]]></source></trans-unit>\r\n" in output
    assert output.endswith("</xliff>\r\n")
    assert "\r" not in translated(document.replace("\r\n", "\n"), DocumentFormat.xliff).decode()


def test_tmx_fills_variants_without_text_and_names_no_person_for_its_own():
    unit = '<tu><tuv xml:lang="en"><seg>a</seg></tuv><tuv xml:lang="de" changeid="me"><seg>{}</seg></tuv></tu>'
    tmx = f'<tmx version="1.4"><header srclang="en"/><body>{unit}</body></tmx>'
    for text, options in [("", {}), (" ", {}), ("<ph/>", {}), ("b", {"overwrite": True})]:
        output = translated(tmx.format(text), DocumentFormat.tmx, **options).decode()
        assert "<seg>A</seg>" in output
        assert "changeid" not in output
    assert "<seg>b</seg>" in translated(tmx.format("b"), DocumentFormat.tmx).decode()


def test_csv_translations_are_in_their_column_in_rows_of_other_lengths():
    table = "id,text,note\n1,a\n2,b,c,d\n3\n   \n"
    output = translated(table, DocumentFormat.csv).decode()
    assert output == "id,text,note,translation\n1,a,,A\n2,b,c,B,d\n3,,,\n   \n"
    assert [row["translation"] for row in csv.DictReader(io.StringIO(output))][:2] == ["A", "B"]
    assert translated("text,x,de\na\n", DocumentFormat.csv).decode() == "text,x,de\na,,A\n"
    assert translated("sep=;\ntext;n\na,b;1\n", DocumentFormat.csv).decode() == "sep=;\ntext;n;translation\na,b;1;A,B\n"


HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset={}\\n"\n\n'


def test_po_has_an_encoding_for_its_translations():
    message = 'msgid "ä"\nmsgstr ""\n'
    content = (HEADER.format("ISO-8859-1") + message).encode("latin-1")
    output = translated(content, DocumentFormat.po, lambda _: "→").decode()
    assert "charset=UTF-8" in output
    assert polib.pofile(output)[0].msgstr == "→"
    assert b"charset=ISO-8859-1" in translated(content, DocumentFormat.po)
    for header in ("", HEADER.format("CHARSET")):
        assert "charset=UTF-8" in translated(header + message, DocumentFormat.po).decode()


def test_po_of_another_language_is_refused():
    header = HEADER.format("UTF-8").replace("Content", 'Language: {}\\n"\n"Content')
    with pytest.raises(UserError, match="wants translations into fr"):
        translated(header.format("fr"), DocumentFormat.po)
    assert "Language: de_AT" in translated(header.format("de_AT"), DocumentFormat.po).decode()


def test_po_keeps_line_ends_long_lines_and_forms_of_a_plural():
    entries = f'# Me\n#.{" a" * 60}\nmsgid "{"b " * 60}"\nmsgstr "c"\n'
    catalogue = HEADER.format("UTF-8") + entries + '\nmsgid "1"\nmsgid_plural "d e"\nmsgstr[0] "f"\nmsgstr[1] ""\n'
    output = translated(catalogue.replace("\n", "\r\n"), DocumentFormat.po).decode()
    assert entries.replace("\n", "\r\n") in output
    assert "\n" not in output.replace("\r\n", "")
    assert polib.pofile(output)[-1].msgstr_plural == {0: "f", 1: "D E"}


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p><![CDATA[a > b]]> c</p>", "<p><![CDATA[a > b]]> C</p>"),
        ("<?php if ($a > 1) echo 'b'; ?><p>c</p>", "<?php if ($a > 1) echo 'b'; ?><p>C</p>"),
        ("<p>a {{ b | c }} d {% if e %}f", "<p>A {{ b | c }} D {% if e %}F"),
        ("<ruby>a<rp>(</rp><rt>b</rt></ruby>", "<ruby>A<rp>(</rp><rt>b</rt></ruby>"),
    ],
)
def test_html_keeps_code_and_readings(page, expected):
    assert translated(page, DocumentFormat.html).decode() == expected


def test_html_is_in_the_encoding_that_browsers_take():
    page = b'<meta charset="iso-8859-1"><p>\x93a\x94</p>'
    assert translated(page, DocumentFormat.html, lambda text: text.strip("“”") + "…") == page.replace(
        b"\x93a\x94", b"a\x85"
    )
    xhtml = b'<?xml version="1.0" encoding="ISO-8859-1"?><p>\xe4</p>'
    assert translated(xhtml, DocumentFormat.html) == xhtml.replace(b"\xe4", b"\xc4")


def test_text_keeps_each_line_end():
    lines = "One two\r\nthree\nfour\rfive"
    assert translated(lines, DocumentFormat.txt).decode() == lines.upper()
    paragraph = "A line that is as long as it can be, and more\nof it below, which is long as well, until it\nends.\n"
    both = paragraph.replace("\n", "\r\n") + "\n" + paragraph
    assert translated(both, DocumentFormat.txt).decode() == both.upper()
    quoted = paragraph.replace("A ", "> A ").replace("\no", "\n> o").replace("\ne", "\n> e")
    asked = []
    assert translated(quoted, DocumentFormat.txt, lambda text: asked.append(text) or text).decode() == quoted
    assert ">" not in asked[0]
    subtitle = "1\r\n00:00:01,000 --> 00:00:02,000\r\na\r\n\r\n2\n00:00:03,000 --> 00:00:04,000\nb\n"
    assert translated(subtitle, DocumentFormat.srt).decode() == subtitle.replace("a", "A").replace("b", "B")
    arrow = "1\n00:00:01,000 --> 00:00:02,000\n5 go --> there\n"
    assert translated(arrow, DocumentFormat.srt).decode() == arrow.replace("go", "GO").replace("there", "THERE")


def test_the_last_subtitle_is_wrapped_where_its_line_has_no_end():
    for line_end in ("\n", "\r\n"):
        subtitle = line_end.join(["1", "00:00:01,000 --> 00:00:02,000", "one two three four five six"])
        output = translated(subtitle, DocumentFormat.srt, lambda text: f"{text}, {text}").decode()
        first, last = output[len(subtitle.removesuffix("one two three four five six")) :].split(line_end)
        assert f"{first} {last}" == "one two three four five six, one two three four five six"


def test_the_dashes_of_speakers_are_kept_and_not_given_to_the_model():
    spoken = "1\n00:00:01,000 --> 00:00:02,000\n- <i>Go on</i>\nand on.\n  –No.\n-\n"
    asked = []
    output = translated(spoken, DocumentFormat.srt, lambda text: asked.append(text) or text.upper()).decode()
    assert asked == ["Go on and on.", "No."]
    assert output.splitlines()[2:] == ["- <i>GO ON</i> AND ON.", "  –NO.", "-"]


def test_attributes_of_a_text_area_are_translated_and_its_text_is_not():
    area = '<textarea {}placeholder="{}">text</textarea>'
    assert translated(area.format("", "a b"), DocumentFormat.html).decode() == area.format("", "A B")
    excluded = area.format("translate=no ", "a b")
    assert translated(excluded, DocumentFormat.html).decode() == excluded
    inside = f"<div translate=no>{area.format('', 'a b')}</div>"
    assert translated(inside, DocumentFormat.html).decode() == inside


@pytest.mark.parametrize(("source", "target"), [("1", "1"), ("en", "EN"), ("", "en")])
def test_translations_replace_the_texts_of_a_table_only_with_overwrite(source, target):
    columns = {"source_column": source, "target_column": target}
    with pytest.raises(UserError, match=r"texts and translations in one column \(overwrite=true replaces the texts\)"):
        translated("en,x\na,b\n", DocumentFormat.csv, **columns)
    found = translated("en,x\na,b\n", DocumentFormat.csv, overwrite=True, **columns).decode()
    assert found.endswith(",x\nA,b\n")


def test_a_column_that_a_table_has_twice_is_named_as_such():
    for wanted in ("en", ""):
        with pytest.raises(UserError, match=r"several columns ('en'|named like a source); its columns are en, en"):
            translated("en,en\na,b\n", DocumentFormat.csv, source_column=wanted)


@pytest.mark.parametrize(
    "text", ["{{ a b }}", "{% a %}", "<%= a %>", "%{a}", "#{a}", "%1", "{0:>10}", "{a[0]}", "&nbsp;"]
)
def test_code_in_text_is_kept(text):
    parts = Segment((f"text {text} text",)).parts
    assert [part.text for part in parts if part.kind is Kind.kept] == [text]


@pytest.mark.parametrize("text", ["100% of it", "AT&T; and", "{a note}", "a < b and c > d"])
def test_text_that_resembles_code_is_text(text):
    assert [part.kind for part in Segment((text,)).parts] == [Kind.text]


def test_output_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "a.html").write_text("<p>ab", encoding="utf-8")
    config = DecodeConfig(model=str(tmp_path), input=str(tmp_path / "a.html"), output="/proc/b.html", progress=False)
    document = open_document(config, check_files(config))
    monkeypatch.setattr("translate.decode.translate_segments", lambda *_: pytest.fail("translated"))
    with pytest.raises((UserError, OSError)):
        translate_document(copier(), document, config)
