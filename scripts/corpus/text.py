"""Text in both languages, and the tables of lexicon/*.tsv it is read from; the order of rows decides the draws."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

Row = TypeVar("Row")
LEXICON = Path(__file__).parent / "lexicon"


class Bilingual(Protocol):
    """Anything with an English and a German side: a pair, a part of a clause, a noun phrase, a main clause."""

    @property
    def english(self) -> str: ...

    @property
    def german(self) -> str: ...


class Pair(NamedTuple):
    english: str
    german: str


@cache
def read_rows(name: str) -> tuple[list[str], ...]:
    """Cells of lexicon/NAME.tsv without its header; "_" is an empty cell."""
    header, *lines = (LEXICON / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    rows = tuple([cell if cell != "_" else "" for cell in line.split("\t")] for line in lines)
    assert all(len(row) == len(header.split("\t")) for row in rows), name
    return rows


def read_objects(name: str, kind: Callable[..., Row]) -> tuple[Row, ...]:
    """Rows of lexicon/NAME.tsv as objects of a dataclass, whose fields are the columns: text, or words of text."""
    readers = [str if field.type is str else lambda cell: tuple(cell.split()) for field in fields(kind)]  # type: ignore[arg-type]
    return tuple(kind(*(read(cell) for read, cell in zip(readers, row, strict=True))) for row in read_rows(name))


@cache
def phrases(name: str) -> tuple[Pair, ...]:
    """A list of lexicon/phrases.tsv, for example "past time"."""
    return tuple(Pair(english, german) for listed, english, german in read_rows("phrases") if listed == name)


def both(template: str, *items: Bilingual) -> Pair:
    """Fill a template of both languages: both("{}, and {} | {}, und {}", first, second)."""
    english, german = template.split(" | ")
    return Pair(english.format(*(item.english for item in items)), german.format(*(item.german for item in items)))


def sentence(item: Bilingual) -> Pair:
    """Both sides with a capital letter, and a full stop unless there is another mark."""
    stop = "" if item.english.endswith(("?", "!", ".")) else "."
    return Pair(*(text[0].upper() + text[1:] + stop for text in (item.english, item.german)))


def spaced(*words: str) -> str:
    return " ".join(word for word in words if word)
