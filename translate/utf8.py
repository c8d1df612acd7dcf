"""Bytes of a line as text, or an error that says which line, byte and, where it can be told, encoding."""

from __future__ import annotations

import codecs

from translate.errors import UserError

# UTF-32's mark begins with that of UTF-16, so it comes first
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def decode_line(raw: bytes, *, name: str, number: int) -> str:
    """One line's bytes as text; UserError with the position of the first byte that is not UTF-8.

    name, number  of the file and, from 1, of the line
    """
    if number == 1:
        _require_no_other_encoding(raw, name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}, line {number}, byte {error.start + 1}: 0x{raw[error.start]:02x} is not UTF-8 here; "
            "convert the file to UTF-8 first (for example with iconv)"
        ) from None


def _require_no_other_encoding(raw: bytes, name: str) -> None:
    """Raise UserError for a first line that is UTF-16 or UTF-32."""
    for mark, encoding in _OTHER_ENCODINGS.items():
        if raw.startswith(mark):
            raise UserError(
                f"{name} is {encoding}, by the byte order mark at its beginning; convert it to UTF-8 first: "
                f"iconv -f {encoding} -t UTF-8"
            )
    # Latin letters in two bytes each, of which always the same one is 0: valid UTF-8, but no text
    first, second = raw[0::2], raw[1::2]
    for order, zeros, letters in (("LE", second, first), ("BE", first, second)):
        if len(raw) >= 4 and not any(zeros) and all(letters):
            raise UserError(
                f"{name} is UTF-16, by the zero in every other byte of line 1; convert it to UTF-8 first: "
                f"iconv -f UTF-16{order} -t UTF-8"
            )
