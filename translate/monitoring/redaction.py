"""Replace e-mail addresses and numbers in texts that are kept for people to judge."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

# Bounded or anchored repetitions only, so that the time is linear in the length of a hostile text.
_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,10}")
# A number with the Latin letters that it hangs together with (B2, 4th, DE89), and further ones behind spaces, brackets
# or marks: groups of digits of a telephone, card or account number are one number.
_NUMBER = re.compile(r"(?<![A-Za-z])[A-Za-z]*\d(?:[.,:;'’/() \u00a0\u2009\u202f_+-]{0,2}[A-Za-z]*\d)*[A-Za-z]*")
_OTHER_DIGITS = re.compile("[²³¹¼-¾\u2070-\u209f\u2150-\u218b\u2460-\u24ff\u2776-\u2793]+")


def redact(*texts: str) -> tuple[str, ...]:
    """The texts with [address 1], [number 1] … instead of e-mail addresses and numbers.

    Equal addresses, and numbers of equal letters and digits, have equal marks in all texts, so that a reader sees if a
    translation has those of its source. Numbers in words stay, as do names.
    """

    def marking(kind: str, content: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
        marks: dict[str, str] = {}
        return lambda found: marks.setdefault(content(found[0]), f"[{kind} {len(marks) + 1}]")

    address, number = marking("address", str.casefold), marking("number", _content)
    return tuple(_redacted(text, address, number) for text in texts)


def _redacted(text: str, address: Callable[[re.Match[str]], str], number: Callable[[re.Match[str]], str]) -> str:
    # the parts between addresses, whose marks hold digits
    parts, end = [], 0
    for found in _ADDRESS.finditer(text):
        parts += [_without_numbers(text[end : found.start()], number), address(found)]
        end = found.end()
    return "".join([*parts, _without_numbers(text[end:], number)])


def _without_numbers(text: str, number: Callable[[re.Match[str]], str]) -> str:
    return _NUMBER.sub(number, _OTHER_DIGITS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text))


def _content(number: str) -> str:
    """Letters and digits of a number: 1,000.5 and 1.000,5 are equal."""
    return "".join(
        str(unicodedata.decimal(character)) if character.isdecimal() else character.casefold()
        for character in number
        if character.isalnum()
    )
