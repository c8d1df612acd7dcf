"""The language of a text, among the source languages of the service's models: py3langid (Lui and Baldwin 2012)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from translate.data.filters.language import load_identifier
from translate.data.formats.language_names import language_of_name

_CHARACTERS = 2000  # of a text, which suffice


@dataclass(frozen=True)
class Detected:
    """A language's code and the probability that a text is in it."""

    language: str
    probability: float

    def to_plain(self) -> dict[str, Any]:
        """As clients of LibreTranslate expect it."""
        return {"confidence": round(100 * self.probability, 1), "language": self.language}


class LanguageDetector:
    """Detector among languages, given by the codes of the models. Raises UserError where py3langid is missing."""

    def __init__(self, languages: Collection[str]) -> None:
        # codes of the identifier, by those of the models
        self._codes = {language_of_name(language) or language: language for language in languages if language}
        self._identifier: Any = load_identifier("detecting languages") if len(self._codes) > 1 else None

    def rank(self, texts: Sequence[str]) -> list[Detected]:
        """All languages, the most probable of the texts together first."""
        if self._identifier is None:
            return [Detected(language, 1.0) for language in self._codes.values()]
        text = "\n".join(texts)[:_CHARACTERS]
        found = dict(self._identifier.rank(text))
        weights = {code: float(found.get(code, 0.0)) for code in self._codes}
        total = math.fsum(weights.values())
        ranked = [
            Detected(self._codes[code], weight / total if total else 1 / len(weights))
            for code, weight in weights.items()
        ]
        return sorted(ranked, key=lambda each: each.probability, reverse=True)
