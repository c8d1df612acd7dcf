"""Strategies for hostile bytes: pieces that break readers put together, and valid files with some bytes changed."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

from hypothesis import strategies as st

Bytes = st.SearchStrategy[bytes]

TEXT = [
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b"\t",
    b" ",
    b"a",
    b"Ein Satz.",
    b"\x00",
    b"\x1b]0;owned\x07\x1b[2J",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    "é".encode(),
    "日本語".encode(),
    "\u202e\u2066".encode(),
    "\u0085\u2028\u2029".encode(),
    "👩\u200d👩".encode(),
    b"\xed\xa0\x80",  # half a surrogate pair
    b"\xc3",  # half a character
    b"\x80",
    b"\xf8\x88\x80\x80\x80",
    b"h\x00i\x00",
    b"x" * 300,
]
JSON = [
    b'{"en": "a", "de": "b"}',
    b'{"en": {"de": "x"}, "de": ["b"]}',
    b"{",
    b"}",
    b"[",
    b"]",
    b"[" * 2000,
    b'{"en":' * 2000,
    b'"en"',
    b'"de"',
    b":",
    b",",
    b'"\\ud800"',
    b'"\\u0000\\n"',
    b"9" * 5000,
    b"-1e999",
    b"NaN",
    b"null",
    b"true",
    b'"',
    b'"data"',
    b'{"data": [{"paragraphs": [{"context": "c", "qas": [{"question": "q", "answers": [{"text": "a"}]}]}]}]}',
    b'"paragraphs"',
    b'"qas"',
]
YAML = [
    b"a: 1\n",
    b"a: ",
    b"b: &b [x, x]\n",
    b"c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n",
    b"<<: *b\n",
    b"*b",
    b"&b ",
    b"!!python/object/apply:os.system ['true']",
    b"!!set {x}",
    b"!!timestamp x",
    b"!a b",
    b"%YAML 9.9\n",
    b"%TAG ! tag:x:\n",
    b"---\n",
    b"...\n",
    b"- ",
    b"? ",
    b": ",
    b"[" * 60,
    b"{a: " * 60,
    b"- " * 60,
    b"]",
    b"}",
    b"|\n",
    b">-\n ",
    b"'",
    b'"\\UFFFFFFFF"',
    b'"\\ud800"',
    b'"\\x00"',
    b"\n  ",
    b"2001-99-99",
    b"1:1:1:1",
    b"9" * 200,
    b"0x_",
    b".inf",
    b".nan",
    b"1e400",
    b"=",
    b"~",
    b"null",
    b"\t",
    b"#",
    b"@",
    b"`",
]
SETTINGS = [b"d_model: ", b"encoder_layers: ", b"max_length: ", b"architecture: lstm\n", b"tying: ", b"rank: "]
NUMBERS = [b"0", b"-1", b"1000000000", b"18446744073709551616", b".nan", b"true", b"[1]", b"''"]


def joined(*vocabularies: Sequence[bytes], length: int = 8) -> Bytes:
    """Pieces of the vocabularies end to end, and other text or bytes between them."""
    pieces = st.sampled_from([piece for vocabulary in vocabularies for piece in vocabulary])
    # pieces three times: most inputs get past the first check, of UTF-8
    other = st.text(st.characters(exclude_categories=["Cs"]), max_size=3).map(str.encode)
    return st.lists(st.one_of(pieces, pieces, pieces, other, st.binary(max_size=2)), max_size=length).map(b"".join)


def damaged(sample: bytes, *vocabularies: Sequence[bytes], front: int = 0) -> Bytes:
    """The sample with some of its bytes replaced by others, or by pieces of the vocabularies; at times cut.

    front  of so many bytes, which most changes hit: headers and indices; 0: anywhere
    """
    position = st.integers(0, len(sample))
    if front:
        position |= st.integers(0, min(front, len(sample)))
    inserted = st.binary(min_size=1, max_size=4)
    # most changes leave all offsets in the file as they are
    edit = st.tuples(position, st.none(), inserted)
    if pieces := [piece for vocabulary in vocabularies for piece in vocabulary]:
        edit |= st.tuples(position, st.integers(0, 4), st.sampled_from(pieces))
    end = st.one_of(st.none(), st.none(), st.none(), position)
    return st.builds(_edited, st.just(sample), st.lists(edit, max_size=3), end)


def _edited(sample: bytes, edits: Sequence[tuple[int, int | None, bytes]], end: int | None) -> bytes:
    content = bytearray(sample)
    for position, removed, inserted in edits:
        content[position : position + (len(inserted) if removed is None else removed)] = inserted
    return bytes(content[:end])


def compressed(content: Bytes) -> Bytes:
    """Gzip files of the content, whole or damaged."""
    cut = st.none() | st.integers(0, 40)
    return st.builds(lambda raw, end: gzip.compress(raw, mtime=0)[:end], content, cut)
