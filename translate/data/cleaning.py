"""Cleaning rules: which pairs are dropped from the training text, and the report of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from translate.console import text_table
from translate.data.filters.config import FILTER_REASONS, FilterConfig
from translate.errors import UserError, require_at_least
from translate.files import read_json, write_json
from translate.text import find_control

_EXAMPLES_PER_REASON = 3
_EXAMPLE_CHARACTERS = 60
_FILE = "report.json"
NO_PAIR = "no pair in the row"
BLANK = "blank side"
COPY = "source = target"
TOO_LONG = "too many characters"
RATIO = "length ratio"
DUPLICATE = "duplicate pair"
HELD_OUT = "held out or like what is held out"
TOO_MANY_TOKENS = "too many tokens"
NO_TOKENS = "no tokens"
COMMAND, NEAR_DUPLICATE = FILTER_REASONS["command"], FILTER_REASONS["near_duplicates"]
_RULE_REASONS = [reason for reason in FILTER_REASONS.values() if reason not in (COMMAND, NEAR_DUPLICATE)]
# in the order of cleaning
REASONS = [NO_PAIR, BLANK, COPY, TOO_LONG, RATIO, *_RULE_REASONS, COMMAND]
REASONS += [DUPLICATE, NEAR_DUPLICATE, HELD_OUT, TOO_MANY_TOKENS, NO_TOKENS]


@dataclass(kw_only=True)
class CleaningConfig:
    """Filters of the training text; validation and test text is never changed.

    max_characters  per side; 0: any number
    max_ratio       longer side / shorter side, in bytes of UTF-8, which is roughly fair between scripts;
                    0: any ratio. Pairs with no side above min_ratio_bytes are not judged
    max_tokens      per side, after the tokenizer; 0: any number
    filters         optional ones; a corpus may have its own, as data.train.filters
    """

    drop_blank: bool = True
    drop_copies: bool = True
    drop_duplicates: bool = True
    max_characters: int = 2000
    max_ratio: float = 4.0
    min_ratio_bytes: int = 40
    max_tokens: int = 256
    filters: FilterConfig = field(default_factory=FilterConfig)

    def check(self) -> None:
        self.filters.check("data.cleaning.filters")
        for key in ("max_characters", "max_ratio", "min_ratio_bytes", "max_tokens"):
            require_at_least(f"data.cleaning.{key}", getattr(self, key), 0)
        if 0 < self.max_ratio < 1:
            raise UserError(f"data.cleaning.max_ratio ({self.max_ratio}) must be 0, for any ratio, or at least 1")


@dataclass
class Example:
    """A dropped pair: the corpus and its line, from 1; the beginning of both sides."""

    corpus: str
    line: int
    source: str
    target: str


@dataclass
class CleaningReport:
    """Number of pairs read, kept, and dropped by reason, with examples."""

    total: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        return self.total - sum(self.dropped.values())

    def drop(self, reason: str, examples: Iterable[Example], *, count: int = 1) -> None:
        """Count pairs dropped for a reason, and keep the first of all their examples; no more of them are read."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
            shown = self.examples.setdefault(reason, [])
            # lazily: making an example reads the text from disk
            shown += islice(examples, _EXAMPLES_PER_REASON - len(shown))

    def save(self, directory: Path) -> None:
        write_json(directory / _FILE, asdict(self))

    @classmethod
    def load(cls, directory: Path) -> CleaningReport:
        stored = read_json(directory / _FILE)
        examples = {reason: [Example(**entry) for entry in entries] for reason, entries in stored["examples"].items()}
        return cls(total=stored["total"], dropped=stored["dropped"], examples=examples)

    def require_pairs(self) -> None:
        """Raise UserError if no pair is left."""
        if not self.kept:
            raise UserError(f"cleaning left no training pairs (see data.cleaning):\n{self.table()}")

    def reasons(self) -> str:
        """The dropped pairs as a part of a sentence; "" if there are none."""
        listing = ", ".join(f"{reason}: {self.dropped[reason]:,}" for reason in REASONS if reason in self.dropped)
        return f"cleaning dropped {sum(self.dropped.values()):,} of {self.total:,} pairs ({listing})" if listing else ""

    def table(self) -> str:
        """One line for each outcome: name, number, share of the pairs read."""
        outcomes = [("pairs read", self.total), ("kept", self.kept)]
        outcomes += [(f"dropped: {reason}", self.dropped[reason]) for reason in REASONS if reason in self.dropped]
        rows = [(name, f"{count:,}", f"{count / max(1, self.total):.1%}") for name, count in outcomes]
        return text_table(rows, right=(1, 2))


def reason_to_drop(source: str, target: str, config: CleaningConfig) -> str | None:
    """The first of the filters, other than duplicates and tokens, that a normalised pair does not pass."""
    # cheap rules first; a pair is reported for the first one that it breaks
    if config.drop_blank and not (source.strip() and target.strip()):
        return BLANK
    if config.drop_copies and source.strip() == target.strip():
        return COPY
    if config.max_characters and max(len(source), len(target)) > config.max_characters:
        return TOO_LONG
    if config.max_ratio:
        # bytes instead of characters: a Chinese character says as much as a few Latin ones
        shorter, longer = sorted((len(source.encode()), len(target.encode())))
        # the ratio of short pairs varies widely, as of "Yes" and "Ja, das stimmt"
        if longer > config.min_ratio_bytes and longer > config.max_ratio * shorter:
            return RATIO
    return None


def example(corpus: str, line: int, source: str, target: str, *, reason: str = "") -> Example:
    """The beginning of a pair, for a report; the end where that is the reason for dropping it."""
    shown = _ending if reason == FILTER_REASONS["punctuation"] else shorten
    return Example(corpus, line, shown(source), shown(target))


def _ending(text: str) -> str:
    return text if len(text) <= _EXAMPLE_CHARACTERS else "…" + text[1 - _EXAMPLE_CHARACTERS :]


def shorten(text: str) -> str:
    """The beginning of a text, or the surroundings of its first control character."""
    # a control character is the reason for showing the line, so the excerpt must hold it
    start = max(0, find_control(text) - _EXAMPLE_CHARACTERS // 2)
    if start:
        text = "…" + text[start + 1 :]
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 1] + "…"


_MIXER = np.uint64(0x9E3779B97F4A7C15)  # odd, with bits spread evenly: 2^64 / golden ratio


def hash_lines(lines: Sequence[str]) -> NDArray[np.uint64]:
    """64 bits of each line: among ten million lines, two that differ agree once in some 370,000 corpora."""
    digests = b"".join([hashlib.blake2b(line.encode(), digest_size=8).digest() for line in lines])
    return np.frombuffer(digests, dtype="<u8")  # the same numbers on every machine: they choose held-out pairs


def hash_pairs(sources: Sequence[str], targets: Sequence[str]) -> NDArray[np.uint64]:
    """64 bits of each pair; neither side may hold a line break."""
    return hash_lines([f"{source}\n{target}" for source, target in zip(sources, targets, strict=True)])


def combine_hashes(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One 64-bit hash for each pair of hashes; their order matters."""
    # a plain sum or exclusive or would give (a, b) and (b, a) one hash; uint64 wraps around
    return first * _MIXER + second


def first_occurrences(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """True where a value appears for the first time."""
    order = np.argsort(hashes, kind="stable")  # equal values stay in order: the first of them is the earliest
    ordered = hashes[order]
    first = np.ones(len(hashes), dtype=bool)
    first[order[1:]] = ordered[1:] != ordered[:-1]
    return first
