"""Unicode normalization form of translations: that of the training target (Unicode Standard Annex #15).

Models read and write NFC, but metrics compare code points: translations in NFC score low against references in NFD, or
in a spelling that is neither, such as a precomposed letter with combining marks in another order.
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

# Text with fewer than one line in 1,000 outside NFC or NFD counts as being in that form: "as found" would improve
# few lines at the price of two more passes over the text.
_LINES_PER_EXCEPTION = 1000
# Conjoining Hangul jamo: NFC composes syllables by arithmetic, so that the character database does not list them.
_HANGUL_VOWELS, _HANGUL_FINALS = range(0x1161, 0x1161 + 21), range(0x11A8, 0x11A8 + 27)


class Form(StrEnum):
    """NFC, NFD, or the most frequent spelling of each combining character sequence in the training target."""

    nfc = "NFC"
    nfd = "NFD"
    as_found = "as found"


@dataclass(frozen=True)
class TargetUnicode:
    """The form that translations are written in.

    spellings      for "as found": combining character sequence in NFC -> its spelling in the training target
    changed_lines  number of training target lines that each form, of those tried, would change
    """

    form: Form = Form.nfc
    spellings: Mapping[str, str] = field(default_factory=dict)
    changed_lines: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        number = f" ({len(self.spellings):,} spellings of its own)" if self.spellings else ""
        return f'Unicode form "{self.form.value}"{number}'

    def write(self, text: str) -> str:
        """Convert text to this form."""
        if text.isascii():
            return text
        if self.form is Form.nfd:
            return unicodedata.normalize("NFD", text)
        # spellings are found by NFC, which a model's output need not be
        text = unicodedata.normalize("NFC", text)
        if not self.spellings:
            return text
        return _sequences().sub(lambda sequence: self.spellings.get(sequence[0], sequence[0]), text)

    def as_manifest(self) -> dict[str, Any]:
        """Value of the manifest's entry "target_unicode"."""
        spellings = {"spellings": dict(self.spellings)} if self.spellings else {}
        return {"form": self.form.value, "changed_lines": dict(self.changed_lines), **spellings}

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any]) -> TargetUnicode:
        """Read the entry; NFC if an older manifest has none. Raises UserError for a damaged entry."""
        entry = manifest.get("target_unicode", {"form": "NFC"})
        try:
            found = cls(Form(entry["form"]), dict(entry.get("spellings", {})), dict(entry.get("changed_lines", {})))
            # another text as a spelling would change words of translations
            sound = all(unicodedata.normalize("NFC", raw) == nfc for nfc, raw in found.spellings.items())
        except (TypeError, ValueError, KeyError, AttributeError):
            sound = False
        if not sound:
            raise UserError(f"target_unicode in the manifest is damaged: {str(entry)[:80]}")
        return found


@dataclass
class LineForms:
    """Number of lines, and of those that are not in NFC or not in NFD."""

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
        """True if neither form covers nearly all lines, so that "as found" is worth a try."""
        fewest = min(self.not_nfc, self.not_nfd)
        return fewest > 0 and fewest * _LINES_PER_EXCEPTION >= self.lines


def choose_form(forms: LineForms, raw_lines: Iterable[str]) -> TargetUnicode:
    """Choose the form whose round trip, from the text to NFC and back, changes the fewest lines; NFC first in a tie.

    raw_lines are read twice, and only if the text is mixed.
    """
    changed = {Form.nfc: forms.not_nfc, Form.nfd: forms.not_nfd}
    spellings: dict[str, str] = {}
    if forms.is_mixed:
        spellings = frequent_spellings(raw_lines)
        as_found = TargetUnicode(Form.as_found, spellings)
        changed[Form.as_found] = sum(not line.isascii() and as_found.write(line) != line for line in raw_lines)
    best = min(changed, key=lambda form: changed[form])  # the first in a tie
    counts = {form.value: count for form, count in changed.items()}
    return TargetUnicode(best, spellings if best is Form.as_found else {}, counts)


def frequent_spellings(lines: Iterable[str]) -> dict[str, str]:
    """NFC of each combining character sequence -> its most frequent spelling, if that is not NFC."""
    counts: dict[str, Counter[str]] = {}
    for line in lines:
        # text that is both NFC and NFD has nothing to compose or reorder
        if line.isascii() or (unicodedata.is_normalized("NFC", line) and unicodedata.is_normalized("NFD", line)):
            continue
        for raw in _sequences().findall(line):
            nfc = unicodedata.normalize("NFC", raw)
            if not nfc.isascii():  # the NFC of the Kelvin sign is K, and no other K may become a Kelvin sign
                counts.setdefault(nfc, Counter())[raw] += 1
    # in a tie NFC, then the first in code point order
    best = {nfc: min(found, key=lambda raw: (-found[raw], raw != nfc, raw)) for nfc, found in counts.items()}
    return {nfc: raw for nfc, raw in sorted(best.items()) if raw != nfc}


@functools.cache
def _sequences() -> re.Pattern[str]:
    """Pattern of combining character sequences: a character with everything after it that may compose with it.

    Plain ASCII does not match. Normalising a text is normalising its sequences one by one.
    """
    continues = "".join(map(re.escape, filter(_continues, map(chr, range(0x80, sys.maxunicode + 1)))))
    return re.compile(f"[\\x00-\\x7f][{continues}]+|[^\\x00-\\x7f][{continues}]*")


def _continues(character: str) -> bool:
    """True if normalization may reorder a character with the one before it, or compose the two."""
    first = unicodedata.normalize("NFD", character)[0]
    return unicodedata.combining(first) != 0 or first in _second_parts()


@functools.cache
def _second_parts() -> frozenset[str]:
    """Characters that NFC composes with the one before them: second parts of canonical decompositions, Hangul jamo."""
    decompositions = (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
    # a tag in angle brackets marks a compatibility decomposition, which NFC leaves alone
    seconds = {chr(int(parts[1], 16)) for parts in decompositions if len(parts) == 2 and parts[0][0] != "<"}
    return frozenset(seconds | {chr(code) for code in (*_HANGUL_VOWELS, *_HANGUL_FINALS)})
