"""Recognition of a file's format by its content, whatever its name."""

from __future__ import annotations

import re
from collections.abc import Callable

from translate.data.corpus import CorpusFormat
from translate.data.formats.archives import looks_like_moses
from translate.data.formats.catalogues import looks_like_po
from translate.data.formats.markup import looks_like_tmx, looks_like_xliff
from translate.errors import UserError
from translate.opening import archive_members, describe_archive, head_of
from translate.parsing import parse_json
from translate.text import MAX_LINE_BYTES

HEAD_BYTES = 1 << 16  # of the decompressed file, which the tests below are given
_SAMPLED_LINES = 20
# cells may have tags, but the first line of a table is not one tag alone
_MARKUP = re.compile(rb"<\?xml|<!doctype|<!--|<html|<[\w:.-]++(\s[^<>\n]*+)?>[ \t\r]*+\n", re.IGNORECASE)


def looks_like_squad(head: bytes) -> bool:
    return head.startswith(b"{") and b'"paragraphs"' in head and b'"qas"' in head


def looks_like_jsonl(head: bytes) -> bool:
    """True if most lines are complete JSON objects or arrays."""
    lines = [line for line in head.split(b"\n")[:_SAMPLED_LINES] if line.strip()]
    values = sum(map(_is_record, lines))
    return values > 0 and 2 * values >= len(lines) and not _is_one_array(lines)


def looks_like_json(head: bytes) -> bool:
    """True for a JSON array or object, after JSON lines have been ruled out."""
    return head.startswith((b"[", b"{"))


def looks_like_parquet(head: bytes) -> bool:
    return head.startswith(b"PAR1")


def looks_like_xlsx(names: list[str]) -> bool:
    return "xl/workbook.xml" in names


def looks_like_table(head: bytes) -> bool:
    """True for lines of text: other formats have been ruled out, and opening the file as text names any other."""
    return not _MARKUP.match(head)


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(parse_json(line), dict | list)
    except ValueError:
        return False


def _is_one_array(lines: list[bytes]) -> bool:
    """True for an array of records on one line, alone or in an object; an array in JSON lines contains texts."""
    value = parse_json(lines[0]) if len(lines) == 1 else []
    arrays = [item for item in value.values() if isinstance(item, list)] if isinstance(value, dict) else [value]
    return any(isinstance(item, dict | list) for array in arrays for item in array)


# Tests for each format, special formats before general ones: the first that is True decides.
# Archives of several files, by the file names
ARCHIVES: dict[CorpusFormat, Callable[[list[str]], bool]] = {
    CorpusFormat.xlsx: looks_like_xlsx,
    CorpusFormat.moses: looks_like_moses,
}
# All other files, by the first HEAD_BYTES of their content, decompressed, and UTF-16 converted to UTF-8
CONTENTS: dict[CorpusFormat, Callable[[bytes], bool]] = {
    CorpusFormat.parquet: looks_like_parquet,
    CorpusFormat.squad: looks_like_squad,
    CorpusFormat.jsonl: looks_like_jsonl,
    CorpusFormat.json: looks_like_json,
    CorpusFormat.tmx: looks_like_tmx,
    CorpusFormat.xliff: looks_like_xliff,
    CorpusFormat.po: looks_like_po,
    CorpusFormat.csv: looks_like_table,
}


def _head_of_records(path: str, head: bytes) -> bytes:
    """The head up to the end of the first line, where that is a long one that may be a record of JSON lines."""
    return head_of(path, MAX_LINE_BYTES).lstrip() if b"\n" not in head and looks_like_json(head) else head


def recognise(path: str) -> CorpusFormat:
    """Format of a file. Raises UserError for an unknown format, with a description of the file."""
    names = archive_members(path)
    if len(names) > 1:
        found = [kind for kind, is_match in ARCHIVES.items() if is_match(names)]
    else:
        head = _head_of_records(path, head_of(path, HEAD_BYTES).lstrip())
        if not head:
            raise UserError(f"{path}: the file is empty")
        found = [kind for kind, is_match in CONTENTS.items() if is_match(head)]
    if not found:
        description = describe_archive(names) if len(names) > 1 else "XML or HTML of another kind"
        raise UserError(f"{path} is {description}; known formats: {', '.join([*CONTENTS, *ARCHIVES])}")
    return found[0]
