"""The Unicode form of the training target, which translations are written in.

Models read and write NFC, and scores compare code points: a system that writes NFC scores little against references in
NFD, or in a spelling that is neither, such as a precomposed letter with marks in an order of its own.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from translate.errors import UserError

# A text of which fewer than one line in so many is not NFC is NFC: what "as found" could gain is not worth two more
# passes over it.
_LINES_PER_EXCEPTION = 1000
_NUM_HANGUL_VOWELS, _NUM_HANGUL_ENDS = 21, 27


class Form(StrEnum):
    nfc = "NFC"
    nfd = "NFD"
    as_found = "as found"


@dataclass(frozen=True)
class TargetUnicode:
    """The Unicode form that translations are written in.

    spellings      for "as found": spelling of each cluster of a letter and its marks, by its NFC
    changed_lines  number of training target lines that each form, of those tried, would change
    """

    form: Form = Form.nfc
    spellings: Mapping[str, str] = field(default_factory=dict)
    changed_lines: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        number = f" ({len(self.spellings):,} spellings of its own)" if self.spellings else ""
        return f'Unicode form "{self.form.value}"{number}'

    def write(self, text: str) -> str:
        """The text in this form."""
        if text.isascii():
            return text
        if self.form is Form.nfd:
            return unicodedata.normalize("NFD", text)
        text = unicodedata.normalize("NFC", text)
        if not self.spellings:
            return text
        return _clusters().sub(lambda cluster: self.spellings.get(cluster[0], cluster[0]), text)

    def as_manifest(self) -> dict[str, Any]:
        """The manifest's entry "target_unicode"."""
        spellings = {"spellings": dict(self.spellings)} if self.spellings else {}
        return {"form": self.form.value, "changed_lines": dict(self.changed_lines), **spellings}

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any]) -> TargetUnicode:
        """Read the entry; NFC where an older manifest has none. Raises UserError for a damaged one."""
        entry = manifest.get("target_unicode", {"form": "NFC"})
        try:
            found = cls(Form(entry["form"]), dict(entry.get("spellings", {})), dict(entry.get("changed_lines", {})))
            sound = all(unicodedata.normalize("NFC", raw) == nfc for nfc, raw in found.spellings.items())
        except (TypeError, ValueError, KeyError, AttributeError):
            sound = False
        if not sound:
            raise UserError(f"target_unicode in the manifest is damaged: {str(entry)[:80]}")
        return found


@dataclass
class LineForms:
    """Counts lines, and those that NFC and NFD would change."""

    lines: int = 0
    not_nfc: int = 0
    not_nfd: int = 0

    def add(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.lines += 1
            if not line.isascii():
                self.not_nfc += not unicodedata.is_normalized("NFC", line)
                self.not_nfd += not unicodedata.is_normalized("NFD", line)

    @property
    def is_mixed(self) -> bool:
        """True if enough lines are in neither form for "as found" to be tried."""
        fewest = min(self.not_nfc, self.not_nfd)
        return fewest > 0 and fewest * _LINES_PER_EXCEPTION >= self.lines


def choose_form(forms: LineForms, raw_lines: Iterable[str]) -> TargetUnicode:
    """The form whose round trip, from the text to NFC and back, changes the fewest lines; of equal ones NFC first.

    raw_lines are read twice, and only where the text is mixed.
    """
    changed = {Form.nfc: forms.not_nfc, Form.nfd: forms.not_nfd}
    spellings: dict[str, str] = {}
    if forms.is_mixed:
        spellings = frequent_spellings(raw_lines)
        as_found = TargetUnicode(Form.as_found, spellings)
        changed[Form.as_found] = sum(not line.isascii() and as_found.write(line) != line for line in raw_lines)
    best = min(changed, key=lambda form: changed[form])  # the first of equal ones
    counts = {form.value: count for form, count in changed.items()}
    return TargetUnicode(best, spellings if best is Form.as_found else {}, counts)


def frequent_spellings(lines: Iterable[str]) -> dict[str, str]:
    """The most frequent spelling of each cluster, by its NFC, where that is another one."""
    counts: dict[str, Counter[str]] = {}
    for line in lines:
        if line.isascii() or (unicodedata.is_normalized("NFC", line) and unicodedata.is_normalized("NFD", line)):
            continue
        for raw in _clusters().findall(line):
            nfc = unicodedata.normalize("NFC", raw)
            if not nfc.isascii():  # as that of the Kelvin sign is, whose other spelling is every K
                counts.setdefault(nfc, Counter())[raw] += 1
    # of equally frequent spellings the NFC one, then the first in code point order
    best = {nfc: min(found, key=lambda raw: (-found[raw], raw != nfc, raw)) for nfc, found in counts.items()}
    return {nfc: raw for nfc, raw in sorted(best.items()) if raw != nfc}


@functools.cache
def _clusters() -> re.Pattern[str]:
    """Matches each character that is not ASCII or is followed by marks, with all that composes with it.

    Normalising a text is normalising its clusters one by one.
    """
    continues = "".join(map(re.escape, filter(_continues, map(chr, range(0x80, sys.maxunicode + 1)))))
    return re.compile(f"[\\x00-\\x7f][{continues}]+|[^\\x00-\\x7f][{continues}]*")


def _continues(character: str) -> bool:
    """True if a character may be reordered with, or composed with, what stands before it."""
    first = unicodedata.normalize("NFD", character)[0]
    return unicodedata.combining(first) != 0 or first in _second_parts()


@functools.cache
def _second_parts() -> frozenset[str]:
    """The characters that NFC composes with one before them, Hangul's vowels and final consonants among them."""
    decompositions = (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
    seconds = {chr(int(parts[1], 16)) for parts in decompositions if len(parts) == 2 and parts[0][0] != "<"}
    vowels = {chr(0x1161 + number) for number in range(_NUM_HANGUL_VOWELS)}
    ends = {chr(0x11A8 + number) for number in range(_NUM_HANGUL_ENDS)}
    return frozenset(seconds | vowels | ends)
