"""Tables of words and endings in lexicon/*.tsv, read in file order: the order decides what a draw picks."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from corpus.text import Pair

LEXICON = Path(__file__).parent / "lexicon"
Row = TypeVar("Row")


@cache
def read_rows(name: str) -> tuple[list[str], ...]:
    """Cells of lexicon/NAME.tsv without its header; "_" is an empty cell."""
    header, *lines = (LEXICON / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    rows = tuple([cell if cell != "_" else "" for cell in line.split("\t")] for line in lines)
    assert all(len(row) == len(header.split("\t")) for row in rows), name
    return rows


def read_objects(name: str, kind: Callable[..., Row]) -> tuple[Row, ...]:
    """Rows of lexicon/NAME.tsv as objects of a dataclass, whose fields are the columns."""
    types = [field.type for field in fields(kind)]  # type: ignore[arg-type]
    return tuple(kind(*map(read_cell, row, types)) for row in read_rows(name))


def read_cell(text: str, kind: Any) -> str | bool | tuple[str, ...]:
    if kind is bool:
        return text == "yes"
    return text if kind is str else tuple(text.split())


@cache
def phrases(name: str) -> tuple[Pair, ...]:
    """A list of lexicon/phrases.tsv, for example "past time"."""
    return tuple(Pair(english, german) for listed, english, german in read_rows("phrases") if listed == name)
