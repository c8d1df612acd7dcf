"""Options of one translation, which jobs of a batch share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class TranslationOptions:
    """Options of one translation.

    target_language  of a model of several; "": its only one
    n_best           number of translations of a line
    details          scores and entropies of tokens, alignment (decoding/json_records.py)
    terms            source terms and the texts that their translations must contain
    prefix           text that the translation begins with
    banned           texts that it does not contain as whole words, in these capital and small letters
    """

    target_language: str = ""
    n_best: int = 1
    details: bool = False
    terms: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    banned: tuple[str, ...] = ()

    @property
    def for_whole_lines(self) -> bool:
        """True if the results belong to lines, which are therefore not divided into jobs of a sentence."""
        return self.n_best > 1 or self.details or bool(self.prefix)

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        terms = tuple((source, target) for source, target in values["terms"])
        return cls(**{**values, "terms": terms, "banned": tuple(values["banned"])})
