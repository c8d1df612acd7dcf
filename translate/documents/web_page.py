"""HTML, edited in place: text, some attributes and the language change, all other bytes are kept.

A parser that builds a tree would repair the page and write a different one. Here, tags of blocks separate segments;
inline tags, such as <b>, separate the pieces of a segment.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from translate.documents.document import DocumentOptions, decode
from translate.documents.inline import Segment

_INLINE = frozenset(
    """
    a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark math nobr output q rp rt ruby
    s samp small span strike strong sub sup svg time tt u var wbr
    """.split()  # noqa: SIM905
)
_KEPT = {"code", "kbd", "samp", "var"}  # read by the model, but not changed
_SKIPPED = {
    "math", "noembed", "noframes", "object", "pre", "rp", "rt", "script", "style", "svg", "template", "textarea", "xmp",
}  # fmt: skip
_RAW = {"script", "style", "textarea", "xmp", "noembed", "noframes", "iframe"}  # without tags, up to their end tag
_VOID = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
}  # fmt: skip
# tags that end an open element of these names
_IMPLIED_ENDS = {
    "li": {"li"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}, "option": {"option"}, "tr": {"tr", "td", "th"},
    "td": {"td", "th"}, "th": {"td", "th"},
}  # fmt: skip
_ATTRIBUTES = {"alt", "aria-label", "placeholder", "title"}
_TAG_REST = re.compile(r"""(?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+'|(?!["'])))*+>""")
_NAME = re.compile(r"[A-Za-z][^\s/>]*+")
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s"'=<>`]++))?""")
_CHARSET = re.compile(
    rb"""(?:<meta[^>]{1,200}?charset\s*=|^\s*<\?xml[^>]{1,200}?encoding\s*=)\s*["']?([\w-]+)""", re.IGNORECASE
)
# what browsers read pages as that declare these
_BROWSER_ENCODINGS = {"iso-8859-1": "windows-1252", "us-ascii": "windows-1252", "iso-8859-9": "windows-1254"}
# Comments and instructions, which may hold ">". Of several beginnings the first counts.
_CLOSINGS = {"<!--": "-->", "<![CDATA[": "]]>", "<?php": "?>", "<?=": "?>"}
_ENTITY = re.compile(r"&[A-Za-z]\w*;")


@dataclass(frozen=True)
class _Range:
    """Range of text in the page; quote: the quotation mark around an attribute's value."""

    start: int
    end: int
    kept: bool = False
    quote: str = ""


@dataclass
class _OpenElement:
    """An open element, and the treatment of its text: "text", "kept" or "skipped"."""

    name: str
    treatment: str


@dataclass
class _ElementStack:
    """Stack of open elements; some are closed implicitly."""

    stack: list[_OpenElement] = field(default_factory=lambda: [_OpenElement("", "text")])
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def treatment(self) -> str:
        return self.stack[-1].treatment

    def start(self, name: str, treatment: str) -> None:
        if name not in _INLINE and self.stack[-1].name == "p":
            self.end("p")
        while self.stack[-1].name in _IMPLIED_ENDS.get(name, ()):
            self.end(self.stack[-1].name)
        self.stack.append(_OpenElement(name, treatment))
        self.counts[name] += 1

    def end(self, name: str) -> None:
        if self.counts[name]:  # ignore an end tag without a start tag
            while (closed := self.stack.pop().name) != name:
                self.counts[closed] -= 1
            self.counts[name] -= 1


class WebPage:
    """Segments are the texts of blocks, and the values of visible attributes."""

    target_language = ""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        declared = _CHARSET.search(content[:4096])
        encoding = declared[1].decode().lower() if declared else ""
        self._page, self._encoding = decode(content, options.name, _BROWSER_ENCODINGS.get(encoding, encoding))
        self._language = options.target_language
        self._ranges: list[list[_Range]] = []  # of each segment
        self._edits: list[tuple[int, int, str]] = []
        self._block: list[_Range] = []  # the current one
        self._read()
        self.segments = [
            Segment(
                tuple(html.unescape(self._page[each.start : each.end]) for each in ranges),
                frozenset(index for index, each in enumerate(ranges) if each.kept),
            )
            for ranges in self._ranges
        ]
        # characters that the page writes as entities
        self._entities = {
            html.unescape(found): found for found in set(_ENTITY.findall(self._page)) if len(html.unescape(found)) == 1
        }

    def _read(self) -> None:
        open_elements = _ElementStack()
        for kind, start, end in _tokens(self._page):
            treatment = open_elements.treatment
            if kind == "text":
                if treatment != "skipped":
                    self._block.append(_Range(start, end, kept=treatment == "kept"))
                continue
            name = kind.lstrip("/").lower()
            if name not in _INLINE:
                self._end_block()
            if kind.startswith("/"):
                open_elements.end(name)
                continue
            attributes = dict(_attributes(self._page, start + 1 + len(name), end))
            # what is in a textarea is not translated, but its attributes are
            as_text = _treatment("" if name == "textarea" else name, attributes, self._page, treatment)
            if as_text == "text":
                self._add_attributes(name, attributes)
            treatment = _treatment(name, attributes, self._page, treatment)
            if name == "html":
                self._set_language(attributes, start + 1 + len(name))
            if name not in _VOID and not self._page.endswith("/>", start, end):
                open_elements.start(name, treatment)
        self._end_block()

    def _end_block(self) -> None:
        if any(not self._page[each.start : each.end].isspace() for each in self._block):
            self._ranges.append(self._block)
        self._block = []

    def _add_attributes(self, name: str, attributes: dict[str, _Range]) -> None:
        names = set(_ATTRIBUTES)
        if name == "meta" and self._value(attributes, "name").lower() in ("description", "keywords"):
            names.add("content")
        if name == "input" and self._value(attributes, "type").lower() in ("submit", "button", "reset"):
            names.add("value")
        self._ranges += [[each] for key, each in attributes.items() if key in names and each.end > each.start]

    def _value(self, attributes: dict[str, _Range], name: str) -> str:
        found = attributes.get(name)
        return self._page[found.start : found.end] if found else ""

    def _set_language(self, attributes: dict[str, _Range], end_of_name: int) -> None:
        if not self._language:
            return
        found = [attributes[name] for name in ("lang", "xml:lang") if name in attributes]
        self._edits += [
            (each.start, each.end, self._language if each.quote else f'"{self._language}"') for each in found
        ]
        if not found:
            self._edits.append((end_of_name, end_of_name, f' lang="{self._language}"'))

    def write(self, translations: Sequence[list[str]]) -> bytes:
        edits = list(self._edits)
        for ranges, segment, pieces in zip(self._ranges, self.segments, translations, strict=True):
            for each, before, text in zip(ranges, segment.pieces, pieces, strict=True):
                if text != before:  # what is unchanged keeps its spelling
                    edits.append((each.start, each.end, self._escape(text, each)))
        output, position = [], 0
        for start, end, text in sorted(edits):
            output += [self._page[position:start], text]
            position = end
        page = "".join([*output, self._page[position:]])
        return self._encoding.encode(page, "xmlcharrefreplace")

    def _escape(self, text: str, each: _Range) -> str:
        escaped = html.escape(text, quote=False)
        special = {character: entity for character, entity in self._entities.items() if character not in "&<>"}
        escaped = escaped.translate(str.maketrans(special))
        if each.quote:
            return escaped.replace(each.quote, "&quot;" if each.quote == '"' else "&#39;")
        return escaped


def _treatment(name: str, attributes: dict[str, _Range], page: str, outer: str) -> str:
    """The treatment of an element's text, given that of the element around it."""

    def value(key: str) -> str:
        return page[attributes[key].start : attributes[key].end].lower() if key in attributes else ""

    if outer == "skipped" or name in _SKIPPED:
        return "skipped"
    is_excluded = value("translate") == "no" or "notranslate" in value("class").split()
    if is_excluded or (name in _KEPT and value("translate") != "yes"):
        return "kept" if name in _INLINE or outer == "kept" else "skipped"
    return "text" if value("translate") == "yes" else outer


def _attributes(page: str, start: int, end: int) -> Iterator[tuple[str, _Range]]:
    """Names, in lower case, and values of a tag's attributes."""
    for found in _ATTRIBUTE.finditer(page, start, end - 1):
        quote = found[2][0] if found[2] and found[2][0] in "\"'" else ""
        first, last = found.span(2) if found[2] else (found.end(), found.end())
        yield found[1].lower(), _Range(first + len(quote), last - len(quote), quote=quote)


def _tokens(page: str) -> Iterator[tuple[str, int, int]]:
    """Texts and tags with their ranges: ("text", …), ("b", …), ("/b", …). Comments and declarations are skipped.

    Takes linear time: unclosed tags and comments extend to the end of the page, as in browsers.
    """
    position, text_start, end = 0, 0, len(page)
    while (start := page.find("<", position)) >= 0:
        found = _NAME.match(page, start + 1 + page.startswith("/", start + 1))
        if found is None and page[start + 1 : start + 2] not in ("!", "?"):
            position = start + 1  # no tag but text
            continue
        if start > text_start:
            yield "text", text_start, start
        if found is None:
            closing = next((end for begin, end in _CLOSINGS.items() if page.startswith(begin, start)), ">")
            stop = page.find(closing, start + 2)
            position = text_start = stop + len(closing) if stop >= 0 else end
            continue
        rest = _TAG_REST.match(page, found.end())
        if rest is None:
            return
        position = text_start = rest.end()
        yield page[start + 1 : found.end()], start, position
        name = found[0].lower()
        if name in _RAW and page[start + 1] != "/":
            # everything up to the end tag is raw text, which is skipped
            end_tag = re.compile(rf"</{name}\b", re.IGNORECASE).search(page, position)
            position = text_start = end_tag.start() if end_tag else end
    if end > text_start:
        yield "text", text_start, end
