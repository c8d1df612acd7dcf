"""Settings of the optional filters of training text, shared by all corpora or for one corpus."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from translate.errors import UserError, require_between

# option of each filter -> reason in reports, in the order in which the filters run: cheap ones first
FILTER_REASONS = {
    "min_score": "low score",
    "length_factor": "unusual ratio of characters",
    "numbers": "numbers differ",
    "addresses": "URLs or e-mail addresses differ",
    "punctuation": "final punctuation differs",
    "script": "unusual script",
    "repetition": "repeated words",
    "language": "unusual language",
    "command": "rejected by the command",
    "near_duplicates": "near-duplicate pair",
}
_DEFAULT_MIN_ANSWER = 0.5  # for programs that answer 0 or 1
_BOUNDS = {"length_factor": (1.1, 1e6), "repetition": (2, 1000), "near_duplicates": (0.7, 1.0)}


@dataclass(kw_only=True)
class FilterConfig:
    """Filters of training pairs. For one corpus, None means as in data.cleaning.filters; there, None means off.

    min_score        drop pairs with a lower score, in corpora whose option `score` names a column
    length_factor    drop pairs whose ratio of lengths in characters is this many times larger or smaller than the
                     corpus's median; 0: off
    numbers          drop pairs that have numbers of two or more digits, but none on both sides
    addresses        drop pairs that have URLs or e-mail addresses, but none on both sides
    punctuation      drop pairs with final marks of different kinds (question, sentence, clause), or with a final
                     question mark on one side only
    script           drop pairs with a side in another script than most lines of that side of the corpus
    repetition       drop pairs with a word or phrase that occurs this many times in a row; 0: off
    language         drop pairs with a side in another language than most lines of that side of the corpus
    command          program and arguments, run without a shell, that scores each pair; []: off
    min_answer       lowest score of the program for pairs that are kept; None: 0.5, for scores 0 and 1
    near_duplicates  drop pairs with this Jaccard similarity of character 4-grams to an earlier pair; 0: off
    """

    min_score: float | None = None
    length_factor: float | None = None
    numbers: bool | None = None
    addresses: bool | None = None
    punctuation: bool | None = None
    script: bool | None = None
    repetition: int | None = None
    language: bool | None = None
    command: list[str] | None = None
    min_answer: float | None = None
    near_duplicates: float | None = None

    def with_defaults(self, shared: FilterConfig) -> FilterConfig:
        """These settings, with the shared ones instead of None."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(shared, **{name: value for name, value in own.items() if value is not None})

    @property
    def active(self) -> dict[str, Any]:
        """Settings of the active filters, by name in the order in which they run."""
        values = {name: getattr(self, name) for name in FILTER_REASONS}
        # 0 is a valid threshold of scores; for other filters 0, False and [] mean off
        return {name: value for name, value in values.items() if value or (name == "min_score" and value is not None)}

    @property
    def lowest_answer(self) -> float:
        return _DEFAULT_MIN_ANSWER if self.min_answer is None else self.min_answer

    def check(self, key: str) -> None:
        """Raise UserError for a value out of range; key: name of this configuration in errors."""
        for name, (least, most) in _BOUNDS.items():
            if value := getattr(self, name):
                require_between(f"{key}.{name}", value, least, most)
        if self.command and not self.command[0]:
            raise UserError(f"{key}.command: its first word is empty; name a program, as in command=[python,judge.py]")
