"""Recognition of the form of a corpus's file by its content, whatever its name."""

from __future__ import annotations

from collections.abc import Callable

from translate.data.corpus import CorpusFormat
from translate.errors import UserError
from translate.opening import archive_members, head_of

HEAD_BYTES = 1 << 16  # of the decompressed file, which the tests below are given


def looks_like_json(head: bytes) -> bool:
    """True for one JSON array, or an object that goes over several lines."""
    return head.lstrip().startswith(b"[")


def looks_like_jsonl(head: bytes) -> bool:
    return head.lstrip().startswith(b"{")


def looks_like_parquet(head: bytes) -> bool:
    return head.startswith(b"PAR1")


def looks_like_xlsx(names: list[str]) -> bool:
    return "xl/workbook.xml" in names


def looks_like_table(head: bytes) -> bool:
    """True for lines of text: what else it could be has been ruled out."""
    return bool(head.strip())


# How each form is recognised. The first test that is True decides, so special forms come before general ones.
# Archives of several files, by the names of these.
ARCHIVES: dict[CorpusFormat, Callable[[list[str]], bool]] = {
    CorpusFormat.xlsx: looks_like_xlsx,
}
# All other files, by the first HEAD_BYTES of their content, decompressed, and as UTF-8 where they were UTF-16.
CONTENTS: dict[CorpusFormat, Callable[[bytes], bool]] = {
    CorpusFormat.parquet: looks_like_parquet,
    CorpusFormat.json: looks_like_json,
    CorpusFormat.jsonl: looks_like_jsonl,
    CorpusFormat.csv: looks_like_table,
}


def recognise(path: str) -> CorpusFormat:
    """Form of a file. Raises UserError for one of no known form, with what it is instead."""
    names = archive_members(path)
    if len(names) > 1:
        found = [form for form, matches in ARCHIVES.items() if matches(names)]
    else:
        head = head_of(path, HEAD_BYTES)
        found = [form for form, matches in CONTENTS.items() if matches(head)]
    if not found:
        raise UserError(f"{path}: none of the forms {', '.join([*CONTENTS, *ARCHIVES])}; set format")
    return found[0]
