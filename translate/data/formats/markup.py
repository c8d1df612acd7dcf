"""TMX 1.1 to 1.4b and XLIFF 1.2 and 2.x, streamed.

The text in inline elements that enclose text is kept. Native codes (inline_elements.py) are dropped with their content;
those for line breaks become a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.inline_elements import TMX_CODES, XLIFF_CODES
from translate.data.formats.language_tags import choose_sides, find_language, normalised_tag
from translate.data.formats.rows import Row, as_line, matching_files, require_no_columns
from translate.data.formats.xml_stream import MAX_UNIT, parse_xml
from translate.errors import UserError, excerpt
from translate.opening import open_decompressed

_SAMPLED_UNITS = 10_000  # that determine the languages of a file
_UNITS = {"tu", "trans-unit", "segment"}
# (parent, element) of the texts of a unit: those of alternative translations have other parents
_TEXTS = {
    ("tuv", "seg"),
    ("trans-unit", "source"),
    ("trans-unit", "target"),
    ("segment", "source"),
    ("segment", "target"),
}
_CODES = TMX_CODES | XLIFF_CODES
# after a byte order mark, declarations and comments; atomic groups avoid exponential backtracking
_ROOT = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:(?><\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*+(?:\[[^\]]*+\]\s*+)?>)\s*+)*+<(?:[\w.-]+:)?(?P<name>[\w.-]+)",
    re.DOTALL,
)
_LINE_BREAKS = {"lb", "x-lb", "xlf:lb"}  # values of type (TMX), ctype (XLIFF 1.2) and subType (XLIFF 2)


@dataclass
class Unit:
    """A translation unit: the line of its tag, and pairs of language ("": not named) and text."""

    line: int
    texts: list[tuple[str, str]] = field(default_factory=list)

    def text(self, language: str) -> str:
        """The text in a language; "" if there is none."""
        for tag, text in self.texts:  # fast path: most files use equal tags throughout
            if tag == language:
                return text
        index = find_language(language, [tag for tag, _ in self.texts])
        return "" if index is None else self.texts[index][1]


def looks_like_tmx(head: bytes) -> bool:
    return _root(head) == b"tmx"


def looks_like_xliff(head: bytes) -> bool:
    return _root(head) == b"xliff"


def _root(head: bytes) -> bytes:
    """Name, without prefix, of the root element at the beginning of an XML file; b"" for other content."""
    found = _ROOT.match(head)
    return found["name"] if found else b""


def read_tmx(config: CorpusConfig) -> Iterator[Row]:
    """Translation units of TMX files; a unit without text in both languages is a row with a problem."""
    yield from _read(config, CorpusFormat.tmx)


def read_xliff(config: CorpusConfig) -> Iterator[Row]:
    """Units (1.2) or segments (2.x) of XLIFF files; one without a translation is a row with a problem."""
    yield from _read(config, CorpusFormat.xliff)


def _read(config: CorpusConfig, file_format: CorpusFormat) -> Iterator[Row]:
    for path in matching_files(config):
        require_no_columns(config, path, file_format)
        asked = config.source_language, config.target_language
        languages = choose_sides(markup_languages(path, file_format, list(filter(None, asked))), *asked, name=path)
        with open_decompressed(path) as stream:
            for unit in read_units(stream, file_format, name=path):
                source, target = map(unit.text, languages)
                lacking = [tag for tag, text in zip(languages, (source, target), strict=True) if not text]
                problem = f"no text in {excerpt(lacking[0]) or 'the other language'}" if lacking else ""
                yield Row(path, unit.line, source, target, problem)


def read_units(stream: BinaryIO, file_format: CorpusFormat, *, name: str) -> Iterator[Unit]:
    """All units of a TMX or XLIFF file, in order; name: of the file in errors.

    Raises UserError with the line number for invalid XML, after yielding the units before it.
    """
    handler = _UnitHandler(file_format, name)
    for _ in parse_xml(stream, handler, name=name):
        yield from handler.take()


def markup_languages(path: str, file_format: CorpusFormat, wanted: Sequence[str] = ()) -> list[str]:
    """Distinct languages of a TMX or XLIFF file, the source language first.

    Read from its first 10,000 units, and from further ones until all wanted languages are found.
    """
    found: dict[str, str] = {}  # the first spelling of each tag
    with open_decompressed(path) as stream:
        handler = _UnitHandler(file_format, path)
        units = (unit for _ in parse_xml(stream, handler, name=path) for unit in handler.take())
        for number, unit in enumerate(units, start=1):
            for tag, _ in unit.texts:
                found.setdefault(normalised_tag(tag), tag)
            are_found = (find_language(language, list(found)) is not None for language in wanted)
            if number >= _SAMPLED_UNITS and all(are_found):
                break
    tags = list(found.values())
    source = find_language(handler.source_language, tags) if handler.source_language else None
    return tags if source is None else [tags.pop(source), *tags]


class _UnitHandler:
    """Handler of xml_stream.parse_xml that collects units of TMX and XLIFF.

    source_language  declared for the whole file, as far as it has been read; "" if not declared
    """

    def __init__(self, file_format: CorpusFormat, name: str) -> None:
        self._format = file_format
        self._name = name
        self._units: list[Unit] = []
        self._unit: Unit | None = None
        self._size = 0  # characters of the current unit
        self._text: list[str] | None = None  # of the current text; None outside of one
        self._depth = 0  # of the current element in the text
        self._code_depth = 0  # depth of the outermost native code around the current element; 0: none
        self._language = ""
        self._root_languages = self._file_languages = {"source": "", "target": ""}  # XLIFF
        self.source_language = ""

    def take(self) -> list[Unit]:
        """Return the units completed since the last call."""
        units, self._units = self._units, []
        return units

    def start(self, name: str, attributes: dict[str, str], *, parent: str, line: int) -> None:
        if not parent and name != self._format:
            raise UserError(f"{self._name}, line {line}: the root element is <{excerpt(name)}>, not <{self._format}>")
        if self._text is not None:
            self._start_inline(name, attributes)
        elif name in _UNITS:
            self._unit, self._size = Unit(line), 0
        elif self._unit is not None and (parent, name) in _TEXTS:
            self._text, self._depth = [], 0
            if self._format is CorpusFormat.xliff:
                self._language = attributes.get("xml:lang") or self._file_languages[name]
        else:
            self._note_languages(name, attributes)

    def _note_languages(self, name: str, attributes: dict[str, str]) -> None:
        if name == "tuv":
            self._language = attributes.get("xml:lang") or attributes.get("lang", "")  # lang: TMX 1.1
        elif name == "header":
            # *all*: any language can be the source
            self.source_language = attributes.get("srclang", "").replace("*all*", "")
        elif name == "xliff":  # version 2; in version 1.2 each <file> has its languages
            self._root_languages = {"source": attributes.get("srcLang", ""), "target": attributes.get("trgLang", "")}
        elif name == "file":
            self._file_languages = {
                side: attributes.get(f"{side}-language") or language for side, language in self._root_languages.items()
            }
            self.source_language = self.source_language or self._file_languages["source"]

    def _start_inline(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._code_depth or name not in _CODES:
            return
        self._code_depth = self._depth
        if not _LINE_BREAKS.isdisjoint(attributes.get(key, "") for key in ("type", "ctype", "subType")):
            self._append(" ")

    def text(self, text: str) -> None:
        if self._text is not None and not self._code_depth:
            self._append(text)

    def _append(self, text: str) -> None:
        """Append to the current text. Raises UserError if the unit becomes too long."""
        assert self._text is not None
        assert self._unit is not None
        self._size += len(text)
        if self._size > MAX_UNIT:
            raise UserError(f"{self._name}, line {self._unit.line:,}: a unit of more than {MAX_UNIT:,} characters")
        self._text.append(text)

    def end(self, name: str) -> None:
        if self._text is not None:
            self._end_inline()
        elif name in _UNITS and self._unit is not None:
            self._units.append(self._unit)
            self._unit = None

    def _end_inline(self) -> None:
        assert self._text is not None
        if self._depth:
            self._code_depth = 0 if self._depth == self._code_depth else self._code_depth
            self._depth -= 1
            return
        # TMX requires a language: ignore variants without one
        if self._unit is not None and (self._language or self._format is CorpusFormat.xliff):
            self._unit.texts.append((self._language, as_line("".join(self._text))))
            self._size += 100  # bounds the memory of many empty texts
        self._text = None
