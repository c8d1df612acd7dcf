"""Settings of the optional filters of training text, which can be switched on one by one and for each corpus."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from translate.errors import UserError, require_between

# reasons in reports, by the names of the filters' options, in the order in which the filters judge: cheap ones first
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
_USUAL_ANSWER = 0.5  # lowest of a program whose answers are 0 and 1
_BOUNDS = {"length_factor": (1.1, 1e6), "repetition": (2, 1000), "near_duplicates": (0.7, 1.0)}


@dataclass(kw_only=True)
class FilterConfig:
    """Filters of one corpus; None in that of a corpus: as data.cleaning.filters says, where None is off.

    min_score        drop pairs with a lower score, of corpora whose option `score` names its column
    length_factor    drop pairs whose ratio of characters is this many times larger or smaller than the corpus's median;
                     0: any ratio
    numbers          drop pairs with numbers of several digits, none of which both sides have
    addresses        drop pairs with URLs or e-mail addresses, none of which both sides have
    punctuation      drop pairs whose last marks are of different kinds (question, sentence, clause), or of which one
                     side alone ends with a question mark
    script           drop pairs with a side in another script than most lines of that side of the corpus
    repetition       drop pairs with a word or phrase that occurs this many times in a row; 0: any number
    language         drop pairs with a side in another language than most lines of that side of the corpus
    command          words of a program, run without a shell, that answers each pair with a number; []: none
    min_answer       lowest answer of the program for pairs that are kept; None: 0.5, for answers 0 and 1
    near_duplicates  drop pairs whose character 4-grams have at least this Jaccard similarity to an earlier pair's;
                     0: off
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

    def over(self, shared: FilterConfig) -> FilterConfig:
        """These settings, with the shared ones where this has None."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(shared, **{name: value for name, value in own.items() if value is not None})

    @property
    def active(self) -> dict[str, Any]:
        """Settings of the filters that are on, by name in the order of their work."""
        values = {name: getattr(self, name) for name in FILTER_REASONS}
        # every score can be a threshold, 0 too; of the others 0, False and [] mean off
        return {name: value for name, value in values.items() if value or (name == "min_score" and value is not None)}

    @property
    def lowest_answer(self) -> float:
        return _USUAL_ANSWER if self.min_answer is None else self.min_answer

    def check(self, key: str) -> None:
        """Raise UserError for a value out of range; key: of this configuration in errors."""
        for name, (least, most) in _BOUNDS.items():
            if value := getattr(self, name):
                require_between(f"{key}.{name}", value, least, most)
        if self.command and not self.command[0]:
            raise UserError(f"{key}.command: its first word is empty; name a program, as in command=[python,judge.py]")
