"""Readers of TMX and XLIFF: the text that their tags leave, their languages, and hostile XML."""

from __future__ import annotations

import io
import re
import tracemalloc
from pathlib import Path

import pytest

from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.markup import markup_languages, read_units
from translate.data.readers import read_rows, read_scores
from translate.errors import UserError
from translation_formats import tmx, unit

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


def rows(path: Path, content: str | bytes, **options: str) -> list[tuple[str, str, str]]:
    """Source, target and problem of each row of a file with this content, whose format is recognised."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    config = CorpusConfig(path=str(path), **options)
    return [(row.source, row.target, row.problem) for row in read_rows(config, key="data.train")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a file without extension"


@pytest.mark.parametrize(
    ("inline", "text"),
    [
        ("plain", "plain"),
        ("an &amp; and a &lt;", "an & and a <"),
        ('with <hi type="bold">marked</hi> text', "with marked text"),
        ('<bpt i="1">&lt;b&gt;</bpt>bold<ept i="1">&lt;/b&gt;</ept> text', "bold text"),
        ("a <ph>&lt;img alt='<sub>an image</sub>'/&gt;</ph>picture", "a picture"),
        ('one<ph type="lb"/>two', "one two"),
        ("<it pos='begin'>x</it><ut>y</ut>rest", "rest"),
        ("\n    wrapped\n    lines\n  ", "wrapped lines"),
        ("two  spaces ", "two  spaces "),
        ("<![CDATA[<b>]]> data", "<b> data"),
        ("<!-- no --> comment<?no instruction?>", " comment"),
        ("<hi>" * 1000 + "deep" + "</hi>" * 1000, "deep"),
    ],
)
def test_inline_tags_of_tmx_leave_their_text_or_nothing(file, inline, text):
    assert rows(file, tmx(unit(en=inline, de="Ziel"))) == [(text, "Ziel", "")]


@pytest.mark.parametrize(
    ("inline", "text"),
    [
        ('<g id="1">bold</g> text', "bold text"),
        ('one<x id="1"/> <bx id="2"/>two<ex id="2"/>', "one two"),
        ('one<x id="1" ctype="lb"/>two', "one two"),
        ('<mrk mtype="seg" mid="1">One.</mrk> <mrk mtype="seg" mid="2">Two.</mrk>', "One. Two."),
        ('a <bpt id="1">code</bpt>b<ept id="1">code</ept>', "a b"),
    ],
)
def test_inline_tags_of_xliff(file, inline, text):
    content = f"""<x:xliff version="1.2" xmlns:x="urn:oasis:names:tc:xliff:document:1.2">
    <x:file source-language="en" target-language="de"><x:body><x:group><x:trans-unit id="1">
      <x:source>{inline}</x:source><x:seg-source>no</x:seg-source><x:target>Ziel</x:target>
      <x:alt-trans><x:source>no</x:source><x:target>no</x:target></x:alt-trans>
    </x:trans-unit></x:group></x:body></x:file></x:xliff>"""
    content = re.sub(r"<(/?)(?=[gm]|bx|ex|bpt|ept|x )", r"<\1x:", content).replace("<x:x:", "<x:")
    assert rows(file, content) == [(text, "Ziel", "")]


def test_segments_of_xliff_2_are_rows_and_its_modules_are_not(file):
    content = """<xliff version="2.0" srcLang="en" trgLang="de-CH" xmlns="urn:oasis:names:tc:xliff:document:2.0"
      xmlns:mtc="urn:oasis:names:tc:xliff:matches:2.0"><file id="1"><unit id="1">
      <mtc:matches><mtc:match><source>no</source><target>no</target></mtc:match></mtc:matches>
      <originalData><data id="d">&lt;b&gt;</data></originalData>
      <segment><source>One <pc id="1">bold</pc><ph id="2" subType="xlf:lb"/>line<sc id="3"/><cp hex="0007"/></source>
        <target>Eins</target></segment>
      <ignorable><source> </source></ignorable>
      <segment><source>Two</source></segment></unit></file></xliff>"""
    assert rows(file, content) == [("One bold line", "Eins", ""), ("Two", "", "no text in de-CH")]


def test_a_target_language_that_xliff_does_not_name_is_any(file):
    texts = ("<source>one</source><target>eins</target>", "<source>two</source>")
    units = "".join(f"<trans-unit>{text}</trans-unit>" for text in texts)
    content = f'<xliff version="1.2"><file source-language="en"><body>{units}</body></file></xliff>'
    assert rows(file, content) == [("one", "eins", ""), ("two", "", "no text in the other language")]
    assert rows(file, content, source_language="en", target_language="de")[0] == ("one", "eins", "")
    assert rows(file, content, source_language="de", target_language="en")[0] == ("eins", "one", "")


def test_languages_come_from_the_file(file):
    units = unit(de_DE="Hallo", en_US="Hello")
    assert rows(file, tmx(units, 'srclang="en-US"')) == [("Hello", "Hallo", "")]
    assert rows(file, tmx(units, 'srclang="*all*"')) == [("Hallo", "Hello", "")]
    assert rows(file, tmx(units), source_language="de") == [("Hallo", "Hello", "")]
    assert rows(file, tmx(units), source_language="deu", target_language="en") == [("Hallo", "Hello", "")]
    assert rows(file, tmx(units.replace("xml:lang", "lang"))) == [("Hello", "Hallo", "")]  # TMX 1.1


def test_a_file_of_three_languages_needs_a_choice(file):
    units = unit(en="one", de="eins", fr="un") + unit(en="two", fr="deux") + unit(en="three", de_AT="drei!", de="drei")
    for options in ({}, {"source_language": "en"}):
        with pytest.raises(UserError, match=r"4 languages \(en, de, fr, de-AT\).*data.source_language="):
            rows(file, tmx(units), **options)
    with pytest.raises(UserError, match=r"en, de, fr, de-AT\): it is none of them"):
        rows(file, tmx(units), source_language="en", target_language="it")
    found = rows(file, tmx(units), source_language="en", target_language="de")
    assert found == [("one", "eins", ""), ("two", "", "no text in de"), ("three", "drei", "")]


def test_languages_after_the_first_units_are_found_where_they_are_asked_for(file, monkeypatch):
    monkeypatch.setattr("translate.data.formats.markup._SAMPLED_UNITS", 1)
    content = tmx(unit(en="one", de="eins") + unit(en="two", fr="deux"))
    assert [target for _, target, _ in rows(file, content)] == ["eins", ""]
    assert [target for _, target, _ in rows(file, content, source_language="en", target_language="fr")] == ["", "deux"]


def test_a_file_without_languages_is_refused(file):
    content = tmx("<tu><tuv><seg>a</seg></tuv><tuv><seg>b</seg></tuv></tu>", "")
    with pytest.raises(UserError, match="no text in any language"):
        rows(file, content)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "windows-1252"])
def test_other_encodings(file, encoding):
    content = tmx(unit(en="naïve", de="größer")).replace("UTF-8", encoding.removesuffix("-sig"))
    assert rows(file, content.encode(encoding)) == [("naïve", "größer", "")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tmx(unit(en="a", de="b") * 9)[:-60], r"line 4: the file ends before its XML does"),
        (tmx(unit(en="a & b", de="b")), r"line 4: not well-formed XML, column 32: & or <"),
        (tmx(unit(en="a", de="\udcff")).encode(errors="surrogateescape"), r"line 4: not well-formed.*another encoding"),
        (tmx(unit(en="&#0;", de="b")), r"line 4: not well-formed"),
        (tmx(unit(en="&nbsp;", de="b")), r"line 4: the entity &nbsp; is not declared"),
        (tmx(unit(en="a", de="b")).replace("UTF-8", "UTF-9"), r"line 1.*unknown encoding"),
        (tmx(unit(en="a", de="b")).replace("UTF-8", "Shift_JIS"), r"encoding that cannot be read"),
        (f'<!DOCTYPE tmx [<!ENTITY l0 "ha">{LAUGHS}]><tmx>&l9;</tmx>', "line 1: XML that declares entities"),
        (
            '<!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<tmx>&x;</tmx>',
            "line 1: XML that declares entities",
        ),
        ("<tmx>" + "<a>" * 100_000, r"nested more than 10,000 deep"),
        (f"<tmx><!--{'x' * (1 << 25)}", r"a tag or comment of more than 16,777,216 bytes"),
        (tmx(unit(en="a" * (1 << 25), de="b")), r"line 4: a unit of more than 16,777,216 characters"),
        ("<tmx>" + "".join(f"<a{n}/>" for n in range(100_000)), r"more than 10,000 different names"),
        (tmx("") + tmx(""), r"line 6: not well-formed XML"),
    ],
)
def test_hostile_xml_is_refused_with_its_line(file, content, message):
    with pytest.raises(UserError, match=message) as refusal:
        rows(file, content, source_language="en", target_language="de", format="tmx")
    assert str(file) in str(refusal.value)


def test_rows_before_a_cut_do_not_pass_for_the_whole_corpus(file):
    file.write_text(tmx(unit(en="a", de="b") * 20_000)[:-9])
    found = read_rows(CorpusConfig(path=str(file)), key="data.train")
    assert next(found).source == "a"
    with pytest.raises(UserError, match="ends before its XML does"):
        list(found)


@pytest.mark.parametrize(("file_format", "root"), [("tmx", "xliff"), ("xliff", "html")])
def test_another_root_element_is_named(file, file_format, root):
    with pytest.raises(UserError, match=f"the root element is <{root}>, not <{file_format}>"):
        rows(file, f"<{root}></{root}>", format=file_format)


class Endless(io.RawIOBase):
    """A TMX file of some million bytes, which is nowhere as a whole."""

    def __init__(self, units: int) -> None:
        self._chunks = iter(
            [tmx("").encode()[:-16], *([unit(en="a" * 50, de="b" * 50).encode() * 100] * (units // 100))]
        )

    def read(self, _: int = -1) -> bytes:
        return next(self._chunks, b"")


def test_memory_does_not_grow_with_the_file():
    units = read_units(Endless(20_000), CorpusFormat.tmx, name="endless.tmx")  # type: ignore[arg-type]
    next(units)
    tracemalloc.start()
    with pytest.raises(UserError, match="ends before"):
        for _ in units:
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_tags_that_differ_in_case_are_one_language(file):
    content = tmx(unit(EN="a", de="b") + unit(en="c", DE="d") + unit(en_US="e", DE="f"))
    config = CorpusConfig(path=str(file), source_language="en", target_language="de")
    file.write_text(content, encoding="utf-8")
    assert [row.problem for row in read_rows(config, key="data.train")] == ["", "", ""]
    file.write_text(content.replace("en-US", "En"), encoding="utf-8")
    assert markup_languages(str(file), CorpusFormat.tmx) == ["EN", "de"]


def test_columns_of_a_translation_memory_are_refused(file):
    file.write_text(tmx(unit(en="a", de="b")), encoding="utf-8")
    with pytest.raises(UserError, match="tmx has no columns source=de target=en"):
        list(read_rows(CorpusConfig(path=str(file), source="de", target="en"), key="data.train"))
    with pytest.raises(UserError, match=r"tmx has no columns, so no score=quality"):
        list(read_scores(CorpusConfig(path=str(file), score="quality"), key="data.train"))


def test_declared_entities_are_refused_by_their_name(file):
    file.write_text('<!DOCTYPE tmx [<!ENTITY a "x">]>\n<tmx version="1.4"></tmx>', encoding="utf-8")
    with pytest.raises(UserError, match="XML that declares entities is refused"):
        list(read_rows(CorpusConfig(path=str(file)), key="data.train"))
