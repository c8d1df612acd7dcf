"""Each document format keeps all but the text: markup, styles, times, quoting, existing translations."""

from __future__ import annotations

import csv
import io
import re
import zipfile

import docx
import polib
import pytest
import srt
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from lxml import etree, html

from document_formats import translated, word_file
from translate.documents.document import DocumentFormat
from translate.errors import UserError

PAGE = """\
<!DOCTYPE html>
<html class=x lang="en"><head><meta charset="utf-8"><title>My page</title>
<meta name="description" content="About it"><script>if (a<b) x = "<p>no</p>";</script><style>p { color: red }</style>
</head>
<body>
<!-- a comment -->
<h1 id='top'>Hello &amp; welcome</h1>
<p>The <b>big <i>old</i></b> lamp &copy; 2020<br>Second line
<p>See <a href="https://x.org/?a=1&amp;b=2" title="To it">the page</a> &lt;now&gt; or <code>make all</code>.
<ul><li>One<li><span translate="no">Product Name</span> is new</ul>
<pre>not  this</pre><p translate=no>Nor this</p><textarea>nor this</textarea><img src="a.png" alt='A "lamp"'>
<p>42</p><p>https://x.org/a</p>
</body></html>
"""


def test_html_keeps_all_but_its_text_byte_for_byte():
    expected = PAGE
    for old, new in [
        ('lang="en"', 'lang="de"'),
        ("My page", "MY PAGE"),
        ("About it", "ABOUT IT"),
        ("Hello &amp; welcome", "HELLO &amp; WELCOME"),
        ("The <b>big <i>old</i></b> lamp &copy;", "THE <b>BIG <i>OLD</i></b> LAMP &copy;"),
        ("Second line", "SECOND LINE"),
        ("See <a", "SEE <a"),
        ("To it", "TO IT"),
        ("the page</a> &lt;now&gt; or <code>make all</code>", "THE PAGE</a> &lt;now&gt; OR <code>make all</code>"),
        ("<li>One<", "<li>ONE<"),
        ("is new", "IS NEW"),
        ('A "lamp"', 'A "LAMP"'),
    ]:
        assert old in expected
        expected = expected.replace(old, new)
    assert translated(PAGE, DocumentFormat.html).decode() == expected
    assert translated(PAGE, DocumentFormat.html, str, target_language="").decode() == PAGE


def test_html_in_another_encoding_stays_in_it():
    page = '<meta charset="iso-8859-1"><p>Grün</p>'.encode("latin-1")
    assert translated(page, DocumentFormat.html, lambda text: f"{text} ü → ☃") == (
        '<meta charset="iso-8859-1"><p>Grün ü &#8594; &#9731;</p>'.encode("latin-1")
    )

    # which browsers read as UTF-8, too; idna is no encoding of files, and UTF-7 hides tags
    for name, text in ((b"utf-16", b"ab"), (b"idna", b"ab"), (b"utf-7", b"+ADw-")):
        wrong = b'<meta charset="%b"><p>%b' % (name, text)
        assert translated(wrong, DocumentFormat.html) == b'<meta charset="%b"><p>%b' % (name, text.upper())


TMX = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en-US" datatype="xml"/>
<body>
  <tu tuid="1">
    <tuv xml:lang="en-US"><seg>Press <bpt i="1">&lt;b&gt;</bpt>OK<ept i="1">&lt;/b&gt;</ept> to <hi>go</hi>.</seg></tuv>
  </tu>
  <tu tuid="2"><tuv xml:lang="en"><seg>lamp</seg></tuv><tuv xml:lang="de-DE"><seg>Lampe</seg></tuv></tu>
</body></tmx>
"""
SEG = '<seg>PRESS <bpt i="1">&lt;b&gt;</bpt>OK<ept i="1">&lt;/b&gt;</ept> TO <hi>GO</hi>.</seg>'  # fmt: skip


def test_tmx_gets_variants_and_keeps_those_it_has():
    output = translated(TMX, DocumentFormat.tmx)
    root = etree.fromstring(output)
    assert b'<!DOCTYPE tmx SYSTEM "tmx14.dtd">' in output
    language = "{http://www.w3.org/XML/1998/namespace}lang"
    assert [[tuv.get(language) for tuv in tu.iter("tuv")] for tu in root.iter("tu")] == [
        ["en-US", "de"],
        ["en", "de-DE"],
    ]
    added = root.findall(".//tuv")[1]
    assert added.get("creationtool") == "translate"
    assert etree.tostring(added[0], encoding="unicode", with_tail=False) == SEG
    assert b"<seg>Lampe</seg>" in output
    assert b"<seg>LAMP</seg>" in translated(TMX, DocumentFormat.tmx, overwrite=True)
    with pytest.raises(UserError, match="no unit has text in the source language \\(fr\\); found de-DE, en, en-US"):
        translated(TMX, DocumentFormat.tmx, source_language="fr")
    with pytest.raises(UserError, match="set target_language="):
        translated(TMX, DocumentFormat.tmx, target_language="")


XLIFF_1 = """\
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file source-language="en" original="f"><body>
<trans-unit id="1"><source>Hello <g id="1">big <x id="2"/>world</g><ph id="3">code</ph>!</source></trans-unit>
<trans-unit id="2"><source>One. Two.</source><seg-source>\
<mrk mtype="seg" mid="1">One.</mrk> <mrk mtype="seg" mid="2">Two \
<mrk mtype="protected">parts</mrk>.</mrk></seg-source></trans-unit>
<group translate="no"><trans-unit id="3"><source>no</source></trans-unit></group>
<trans-unit id="4"><source>lamp</source><target state="final">Lampe</target></trans-unit>
</body></file></xliff>
"""
XLIFF_2 = """\
<xliff version="2.1" srcLang="en" trgLang="de" xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f"><unit id="1">
<segment><source>Hello <pc id="1">big <ph id="2"/>world</pc>!</source></segment>
<segment><source>lamp</source><target>Lampe</target></segment>
</unit><unit id="2" translate="no"><segment><source>no</source></segment></unit></file></xliff>
"""


def test_xliff_1_gets_targets_with_a_state_and_the_tool():
    root = etree.fromstring(translated(XLIFF_1, DocumentFormat.xliff))
    ns = {"x": "urn:oasis:names:tc:xliff:document:1.2"}
    inner = [
        re.sub(' xmlns="[^"]*"', "", etree.tostring(t, encoding="unicode")) for t in root.iterfind(".//x:target", ns)
    ]
    attributes = 'state="needs-review-translation" state-qualifier="mt-suggestion" phase-name="translate"'
    assert [text.strip().replace(f' xml:lang="de" {attributes}', "") for text in inner] == [
        '<target>HELLO <g id="1">BIG <x id="2"/>WORLD</g><ph id="3">code</ph>!</target>',
        '<target><mrk mtype="seg" mid="1">ONE.</mrk> <mrk mtype="seg" mid="2">TWO '
        '<mrk mtype="protected">parts</mrk>.</mrk></target>',
        '<target state="final">Lampe</target>',
    ]
    assert root.find("x:file", ns).get("target-language") == "de"
    assert root.find(".//x:phase", ns).get("tool-id") == root.find(".//x:tool", ns).get("tool-id") == "translate"
    assert b">LAMP</target>" in translated(XLIFF_1, DocumentFormat.xliff, overwrite=True)


def test_xliff_2_gets_targets_with_a_state():
    output = translated(XLIFF_2, DocumentFormat.xliff).decode()
    segment = '<segment state="translated" subState="translate:machine">'
    assert f"{segment}<source>Hello" in output
    assert '<target>HELLO <pc id="1">BIG <ph id="2"/>WORLD</pc>!</target>' in output
    assert "<segment><source>lamp</source><target>Lampe</target>" in output
    assert output.count("<target>") == 2
    with pytest.raises(UserError, match="wants translations into de, and those of the model are in fr"):
        translated(XLIFF_2, DocumentFormat.xliff, target_language="fr")


def test_docx_keeps_styles_tables_notes_and_links():
    document = docx.Document()
    document.add_heading("A title", level=1)
    paragraph = document.add_paragraph("Plain ")
    paragraph.add_run("bo").bold = True
    paragraph.add_run("ld").bold = True  # as Word divides runs
    paragraph.add_run(" end ")
    relation = document.part.relate_to(
        "https://x.org", docx.opc.constants.RELATIONSHIP_TYPE.HYPERLINK, is_external=True
    )
    link = f'<w:hyperlink {nsdecls("w", "r")} r:id="{relation}"><w:r><w:t>a link</w:t></w:r></w:hyperlink>'
    paragraph._p.append(parse_xml(link))
    document.add_table(1, 2).cell(0, 1).text = "a cell"
    document.sections[0].header.paragraphs[0].text = "the header"
    document.add_paragraph("left").add_run().add_tab()
    document.paragraphs[-1].add_run("right", style=None)
    document.add_comment(document.paragraphs[0].runs, text="a comment")
    content = word_file(document)
    output = translated(content, DocumentFormat.docx)
    found = docx.Document(io.BytesIO(output))
    assert found.paragraphs[0].style.name == "Heading 1"
    assert [p.text for p in found.paragraphs] == ["A TITLE", "PLAIN BOLD END A LINK", "LEFT\tRIGHT"]
    assert [(run.text, run.bold) for run in found.paragraphs[1].runs if run.text] == [
        ("PLAIN ", None), ("BOLD", True), (" END ", None),
    ]  # fmt: skip
    assert found.paragraphs[1].hyperlinks[0].address == "https://x.org"
    assert found.tables[0].cell(0, 1).text == "A CELL"
    assert found.sections[0].header.paragraphs[0].text == "THE HEADER"
    assert next(iter(found.comments)).text == "A COMMENT"
    before, after = (zipfile.ZipFile(io.BytesIO(each)) for each in (content, output))
    assert before.namelist() == after.namelist()
    assert before.read("word/styles.xml") == after.read("word/styles.xml")


SUBTITLES = """\
1
00:00:01,000 --> 00:00:03,000
- Hello <i>my</i> dear
- Who?

7
00:00:04,000 --> 00:00:06,500
A line that goes on and on
over two lines, {\\an8}in all, and that is enough for now

"""


def test_srt_keeps_numbers_times_and_tags_and_wraps_lines():
    found = list(srt.parse(translated(SUBTITLES, DocumentFormat.srt).decode()))
    assert [(each.index, each.start, each.end) for each in found] == [
        (each.index, each.start, each.end) for each in srt.parse(SUBTITLES)
    ]
    assert found[0].content == "- HELLO <i>MY</i> DEAR\n- WHO?"
    assert found[1].content == "A LINE THAT GOES ON AND ON OVER TWO\nLINES, {\\an8}IN ALL, AND THAT IS ENOUGH FOR NOW"
    assert translated(SUBTITLES.replace("\n", "\r\n"), DocumentFormat.srt, str).decode() == SUBTITLES.replace(
        "\n", "\r\n"
    )


def test_csv_gets_a_column_and_keeps_quoting():
    table = 'id,text\r\n"1","He said ""x"",\nand left"\r\n\r\n2,yo\r\n'
    assert translated(table, DocumentFormat.csv).decode() == (
        'id,text,translation\r\n"1","He said ""x"",\nand left","HE SAID ""X"",\nAND LEFT"\r\n\r\n2,yo,YO\r\n'
    )
    utf16 = "\ufeffsource;de\nHi;da\nlast;\n".encode("utf-16-le")
    assert translated(utf16, DocumentFormat.csv).decode("utf-16") == "source;de\nHi;da\nlast;LAST\n"
    assert translated(utf16, DocumentFormat.csv, overwrite=True).decode("utf-16") == "source;de\nHi;HI\nlast;LAST\n"
    assert translated("a,b\nc,d", DocumentFormat.csv, source_column="2").decode() == "a,b,B\nc,d,D"
    assert translated("a,b\nc,d", DocumentFormat.csv, source_column="2", target_column="1").decode() == "a,b\nc,d"
    named = translated("a,b\nc,d", DocumentFormat.csv, source_column="b", target_column="neu")
    assert list(csv.DictReader(io.StringIO(named.decode()))) == [{"a": "c", "b": "d", "neu": "D"}]
    assert translated("one\ntwo\n", DocumentFormat.csv).decode() == "one,ONE\ntwo,TWO\n"  # without a header
    assert translated("text_en;German\none;\n", DocumentFormat.csv).decode() == "text_en;German\none;ONE\n"
    for wanted in ("", "x", "3"):
        with pytest.raises(UserError, match="its columns are a, b: set source_column=NAME"):
            translated("a,b\nc,d", DocumentFormat.csv, source_column=wanted)


def test_po_fills_empty_messages():
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Plural-Forms": "nplurals=3; plural=(n%10);"}
    catalogue.append(polib.POEntry(msgid="Hello %s,\n{name}\n", occurrences=[("a.c", "1")]))
    catalogue.append(polib.POEntry(msgid="%d file", msgid_plural="%d files", msgstr_plural={0: "", 1: ""}))
    catalogue.append(polib.POEntry(msgid="lamp", msgstr="Lampe", flags=["c-format"]))
    found = polib.pofile(translated(str(catalogue), DocumentFormat.po).decode())
    assert [(entry.msgstr or entry.msgstr_plural, entry.flags) for entry in found] == [
        ("HELLO %s,\n{name}\n", ["fuzzy"]),
        ({0: "%d FILE", 1: "%d FILES", 2: "%d FILES"}, ["fuzzy"]),
        ("Lampe", ["c-format"]),
    ]
    assert found.metadata["Language"] == "de"


TEXT = """\
A Title

  This is a paragraph of which the lines are full, so that
the next word would not have fitted into any one of them,
and the translation is wrapped to the same width.


* an item
* another
"""


def test_txt_wraps_paragraphs_and_keeps_blank_lines():
    output = translated(TEXT, DocumentFormat.txt, lambda text: text.replace("full", "entirely filled")).decode()
    first, _, rest = output.partition("\n\n")
    paragraph, _, rest = rest.partition("\n\n\n")
    assert (first, rest) == ("A Title", "* an item\n* another\n")
    assert paragraph.startswith("  This is a paragraph of which the lines are entirely\nfilled, so")
    assert " ".join(paragraph.split()) == " ".join(TEXT.partition("\n\n")[2].partition("\n\n\n")[0].split()).replace(
        "full", "entirely filled"
    )
    assert translated(TEXT.replace("\n", "\r\n"), DocumentFormat.txt, str).decode() == TEXT.replace("\n", "\r\n")


def nested(opening: str, closing: str, count: int = 1000) -> str:
    return "".join(f"{opening.format(number)}w{number} " for number in range(count)) + closing * count


@pytest.mark.parametrize("translate", [str.upper, lambda text: " ".join(reversed(text.split())), lambda text: "one"])
def test_a_thousand_nested_tags_are_there_once_and_well_formed(translate):
    page = f"<p>{nested('<b id=x{}>', '</b>')}</p>"
    root = html.fromstring(translated(page, DocumentFormat.html, translate), parser=html.HTMLParser(huge_tree=True))
    assert [each.get("id") for each in root.iter("b")] == [f"x{number}" for number in range(1000)]
    inner = nested('<g id="{}">', "</g>")
    xliff = XLIFF_1.replace('Hello <g id="1">big <x id="2"/>world</g><ph id="3">code</ph>!', inner)
    root = etree.fromstring(translated(xliff, DocumentFormat.xliff, translate), etree.XMLParser(huge_tree=True))
    found = [each.get("id") for each in root.iterfind(".//{*}target").__next__().iter("{*}g")]
    assert found == [str(number) for number in range(1000)]
    inner = nested('<hi x="{}">', "</hi>")
    root = etree.fromstring(
        translated(TMX.replace("<hi>go</hi>", inner), DocumentFormat.tmx, translate), etree.XMLParser(huge_tree=True)
    )
    found = [each.get("x") for each in root.findall(".//tuv")[1].iter("hi")]
    assert found == [str(number) for number in range(1000)]
