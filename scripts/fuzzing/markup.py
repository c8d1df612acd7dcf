"""Strategies for files of translation tools: valid ones with damage, and pieces of their syntax."""

from __future__ import annotations

import io
import zipfile

from hypothesis import strategies as st

from fuzzing.inputs import TEXT, Bytes, damaged, joined
from translate.data.corpus import CorpusFormat

XML = [
    b'<tu><tuv xml:lang="en"><seg>',
    b'</seg></tuv><tuv xml:lang="de"><seg>',
    b"</seg></tuv></tu>",
    b"<trans-unit><source>",
    b"</source><target>",
    b"</target></trans-unit>",
    b"<segment>",
    b"</segment>",
    b"<ph>",
    b"</ph>",
    b'<x ctype="lb"/>',
    b"<hi>",
    b"</hi>",
    b"<a>" * 20_000,
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?xml version='1.0' encoding='UTF-16'?>",
    b"<?x",
    b"?>",
    b'<!DOCTYPE tmx [<!ENTITY a "x">]>',
    b"&a;",
    b"&#x0;",
    b"&#xd800;",
    b"&#10;",
    b"&lt;",
    b"&",
    b"<",
    b"/>",
    b'"',
    b" xml:lang=",
    b"encoding='idna'",
    b"encoding='rot13'",
    b"encoding='utf-7'",
]
PO = [
    b'msgid "a"\n',
    b'msgstr "b"\n',
    b'msgid_plural "c"\n',
    b'msgstr[0] "d"\n',
    b'msgstr[x] "d"\n',
    b"msgstr[99999999999999999999]",
    b'msgctxt "e"\n',
    b"#, fuzzy\n",
    b"#~ ",
    b"#| ",
    b"#: a:b:c\n",
    b'"continued"\n',
    b'"Language: fr\\n"\n',
    b'"Content-Type: text/plain; charset=rot13\\n"\n',
    b'"Content-Type: text/plain; charset=utf-7\\n"\n',
    b"\\",
    b'"',
    b"\n\n",
]
_UNIT = b'<tu><tuv xml:lang="en"><seg>a <ph>x</ph>b</seg></tuv><tuv xml:lang="de"><seg>c</seg></tuv></tu>'
_TMX_HEADER = b'<?xml version="1.0" encoding="UTF-8"?><tmx version="1.4"><header srclang="en"/>'
_TMX = _TMX_HEADER + b"<body>" + _UNIT + b"</body></tmx>"
_XLIFF_UNIT = b"<trans-unit id='1'><source>a <g>b</g></source><target>c</target></trans-unit>"
_XLIFF = b"<xliff version='1.2'><file source-language='en' target-language='de'>" + _XLIFF_UNIT + b"</file></xliff>"
_HEADER = b'msgid ""\nmsgstr ""\n"Language: de\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
_PO = _HEADER + b'#, fuzzy\nmsgid "a"\nmsgid_plural "b"\nmsgstr[0] "c"\nmsgstr[1] "d"\n'


def translation_formats() -> dict[str, tuple[CorpusFormat, Bytes]]:
    """Format and content of the files for each reader."""
    return {
        "tmx": (CorpusFormat.tmx, _around(_TMX, XML)),
        "xliff": (CorpusFormat.xliff, _around(_XLIFF, XML)),
        "po": (CorpusFormat.po, _around(_PO, PO)),
        "moses": (CorpusFormat.moses, st.sampled_from(_archives()).flatmap(damaged)),
    }


def _around(sample: bytes, pieces: list[bytes]) -> Bytes:
    """The sample, damaged, or with pieces put into its middle or replacing its end."""
    middle = len(sample) // 2
    inserted = joined(pieces, TEXT).map(lambda content: sample[:middle] + content + sample[middle:])
    return damaged(sample, pieces, TEXT) | inserted | joined(pieces).map(lambda content: sample[:middle] + content)


def _archives() -> list[bytes]:
    """Zip files with two sides, stored and compressed, one with sides of different lengths."""
    archives = []
    for method, num_lines in ((zipfile.ZIP_STORED, 20), (zipfile.ZIP_DEFLATED, 20), (zipfile.ZIP_LZMA, 1)):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            archive.writestr("../x.en-de.en", "a\n" * 20)
            archive.writestr("../x.en-de.de", "b\n" * num_lines)
            archive.writestr("README", "")
        archives.append(stream.getvalue())
    return archives
