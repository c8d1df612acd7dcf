"""Text in both languages at once."""

from typing import NamedTuple, Protocol


class Bilingual(Protocol):
    """Anything with an English and a German side: a pair, a part of a clause, a noun phrase, a main clause."""

    @property
    def english(self) -> str: ...

    @property
    def german(self) -> str: ...


class Pair(NamedTuple):
    english: str
    german: str


def both(template: str, *items: Bilingual) -> Pair:
    """Fill a template of both languages: both("{}, and {} | {}, und {}", first, second)."""
    english, german = template.split(" | ")
    return Pair(english.format(*(item.english for item in items)), german.format(*(item.german for item in items)))


def sentence(item: Bilingual) -> Pair:
    """Both sides with a capital letter, and a full stop unless there is another mark."""
    stop = "" if item.english.endswith(("?", "!", ".")) else "."
    return Pair(*(text[0].upper() + text[1:] + stop for text in (item.english, item.german)))
