"""Parse untrusted XML with lxml, replace text between tags, and write it back."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

from translate.data.formats.xml_stream import parse_xml as parse_xml_stream
from translate.documents.document import BYTE_ORDER_MARKS
from translate.documents.inline import Segment
from translate.errors import UserError, excerpt, import_extra

Element = Any  # lxml's own classes have no types
_DECLARATION = re.compile(r"<\?xml[^>]*\?>\s*")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def lxml_etree() -> Any:
    """The module lxml.etree. Raises UserError with the command that installs it."""
    return import_extra("lxml.etree", extra="documents", purpose="a document in XML (TMX, XLIFF, DOCX)")


def parse_xml(content: bytes, name: str) -> Element:
    """Parse an XML file into a tree. Raises UserError for invalid XML, and for XML that declares entities; MemoryError.

    Nothing is loaded from a DTD or the network. Elements may be nested about 2,000 deep, the limit of libxml2.
    """
    for _ in parse_xml_stream(io.BytesIO(content), _Ignored(), name=name):  # checks the limits before building a tree
        pass
    etree = lxml_etree()
    # huge_tree: for more than 256 levels; what it leaves unchecked are entities and depth
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, strip_cdata=False)
    try:
        return etree.fromstring(content, parser).getroottree()
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from None
        raise UserError(f"{name}: not XML: {excerpt(error)}") from None


class _Ignored:
    """Handler that ignores all elements."""

    def start(self, name: str, attributes: dict[str, str], *, parent: str, line: int) -> None: ...
    def text(self, text: str) -> None: ...
    def end(self, name: str) -> None: ...


def write_xml(tree: Element, content: bytes) -> bytes:
    """The file of a tree that was parsed from this content: in its encoding, with its declaration and line ends."""
    mark = next((mark for mark in BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    encoding = BYTE_ORDER_MARKS.get(mark) or tree.docinfo.encoding or "UTF-8"
    before = content[len(mark) :].decode(encoding, "replace")
    declaration = _DECLARATION.match(before)
    text = lxml_etree().tostring(tree, encoding="unicode")
    end = before[len(before.rstrip()) :].replace("\r\n", "\n")
    text = (declaration[0].replace("\r\n", "\n") if declaration else "") + text + end
    if "\r\n" in before:  # a parser reads one character, and another CR is written as a reference
        text = text.replace("\n", "\r\n")
    return mark + text.encode(encoding, "xmlcharrefreplace")


def name_of_tag(element: Element) -> str:
    """Name of an element without its namespace; "" for comments and processing instructions."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def has_words(element: Element) -> bool:
    """True if an element has text inside, other than white space."""
    return any(text.strip() for text in element.itertext(tag=lxml_etree().Element))


def children(element: Element, *names: str) -> list[Element]:
    return [child for child in element if name_of_tag(child) in names]


class Slots:
    """Positions of text in a tree, in document order; each is the "text" or the "tail" of an element.

    Positions added with is_kept are not translated.
    """

    def __init__(self) -> None:
        self._positions: list[tuple[Element, str]] = []
        self._kept: list[bool] = []

    def add(self, element: Element, attribute: str, *, is_kept: bool = False) -> None:
        if getattr(element, attribute):
            self._positions.append((element, attribute))
            self._kept.append(is_kept)

    def segment(self) -> Segment:
        pieces = tuple(getattr(element, attribute) for element, attribute in self._positions)
        return Segment(pieces, frozenset(index for index, kept in enumerate(self._kept) if kept))

    def fill(self, pieces: list[str]) -> None:
        for (element, attribute), piece in zip(self._positions, pieces, strict=True):
            setattr(element, attribute, as_xml_text(piece))


def inline_slots(
    root: Element, *, role: Callable[[Element], str], stop: Callable[[Element], bool] | None = None
) -> Slots:
    """Positions of text inside an element and its descendants.

    role  of a descendant: "text", "kept" (not translated) or "code" (skipped)
    stop  True for descendants that are skipped because they are separate segments
    """
    slots = Slots()
    for element, attribute, kept in _walk(root, role, stop):
        slots.add(element, attribute, is_kept=kept)
    return slots


def _walk(
    root: Element, role: Callable[[Element], str], stop: Callable[[Element], bool] | None
) -> Iterator[tuple[Element, str, bool]]:
    # a stack instead of recursion: elements may be nested deeper than Python's recursion limit
    stack: list[tuple[Element, str, bool]] = [(root, "text", False)]
    while stack:
        element, attribute, kept = stack.pop()
        yield element, attribute, kept
        if attribute == "tail":
            continue
        for child in reversed(element):
            stack.append((child, "tail", kept))
            kind = "code" if not isinstance(child.tag, str) or (stop and stop(child)) else role(child)
            if kind != "code":
                stack.append((child, "text", kept or kind == "kept"))


def as_xml_text(text: str) -> str:
    """Replace characters that XML does not allow by spaces."""
    return _NOT_XML.sub(" ", text)
