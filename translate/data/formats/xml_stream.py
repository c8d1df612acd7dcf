"""XML of untrusted files, streamed by expat: no entity declarations, and limits on depth, names and size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol
from xml.parsers import expat

from translate.errors import UserError, excerpt

MAX_UNIT = 1 << 24  # characters of one translation unit
_CHUNK_BYTES = 1 << 18
_MAX_TOKEN_BYTES = 1 << 24  # of one tag or comment, which expat keeps in memory
_MAX_DEPTH = 10_000
_MAX_NAMES = 10_000  # different names of elements and attributes, which expat keeps in memory
_TRUNCATED = {
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
}
_INVALID = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]


class Handler(Protocol):
    """Receiver of elements and text in document order; names have no namespace prefix."""

    def start(self, name: str, attributes: dict[str, str], *, parent: str, line: int) -> None: ...
    def text(self, text: str) -> None: ...
    def end(self, name: str) -> None: ...


def parse_xml(stream: BinaryIO, handler: Handler, *, name: str) -> Iterator[None]:
    """Feed a file to a handler; yields after each chunk, so that the caller can take the handler's results.

    name  of the file in errors

    Raises UserError with the line number for XML that is not well-formed or truncated, for entity and other
    declarations in the file, and beyond the limits. An external DTD may be named, but is never read.
    """
    parser = _BoundedParser(handler, name)
    while chunk := stream.read(_CHUNK_BYTES):
        parser.parse(chunk)
        yield
    parser.parse(b"", is_final=True)
    yield


class _BoundedParser:
    """An expat parser with limits, which passes names without prefixes to a handler."""

    def __init__(self, handler: Handler, name: str) -> None:
        self._handler = handler
        self._name = name
        self._open: list[str] = []  # names of the open elements
        self._fed = 0  # bytes
        self._names: dict[str, str] = {}
        self._parser = parser = expat.ParserCreate(intern=self._names)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = handler.text
        parser.StartDoctypeDeclHandler = self._start_doctype
        parser.SkippedEntityHandler = self._skipped_entity

    def parse(self, chunk: bytes, *, is_final: bool = False) -> None:
        try:
            self._parser.Parse(chunk, is_final)
        except expat.ExpatError as error:
            raise self._error(_describe(error, is_final), line=error.lineno) from None
        except UserError:  # of the handler
            raise
        except (ValueError, LookupError) as error:  # a multi-byte or unknown encoding
            raise self._error(f"its XML declares an encoding that cannot be read: {error}") from None
        self._fed += len(chunk)
        if self._fed - self._parser.CurrentByteIndex > _MAX_TOKEN_BYTES:
            raise self._error(f"a tag or comment of more than {_MAX_TOKEN_BYTES:,} bytes")
        if len(self._names) > _MAX_NAMES:
            raise self._error(f"more than {_MAX_NAMES:,} different names of elements and attributes")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise self._error(f"elements nested more than {_MAX_DEPTH:,} deep")
        name = name.rpartition(":")[2]
        parent = self._open[-1] if self._open else ""
        self._open.append(name)
        self._handler.start(name, attributes, parent=parent, line=self._parser.CurrentLineNumber)

    def _end(self, _: str) -> None:
        self._handler.end(self._open.pop())

    def _start_doctype(self, _: str, __: str | None, ___: str | None, has_internal_subset: int) -> None:
        # entities declared there could expand a few bytes to gigabytes, or refer to other files
        if has_internal_subset:
            raise self._error("XML that declares entities is refused; remove <!DOCTYPE … […]>")

    def _skipped_entity(self, name: str, _: bool) -> None:
        raise self._error(f"the entity &{excerpt(name)}; is not declared; write the character itself")

    def _error(self, message: str, line: int | None = None) -> UserError:
        return UserError(f"{self._name}, line {line or self._parser.CurrentLineNumber:,}: {message}")


def _describe(error: expat.ExpatError, is_final: bool) -> str:
    if is_final and error.code in _TRUNCATED:
        return "the file ends before its XML does; is it truncated?"
    cause = expat.ErrorString(error.code)
    if error.code == _INVALID:
        cause = "& or < instead of &amp; or &lt;, a control character, or bytes of another encoding"
    return f"not well-formed XML, column {error.offset + 1}: {cause}"
