"""Settings that the scores of a run were made with, from the manifest of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from translate.decoding.config import SearchConfig
from translate.decoding.search.config import search_of
from translate.device import Precision
from translate.errors import UserError


@dataclass(frozen=True, kw_only=True)
class RunScoring:
    """Settings that the scores in a run's log and report depend on; "" or None if an older run did not record them.

    tokenize   BLEU's tokenizer
    precision  in which validation and test sets were decoded
    of_many    the model has several target languages
    """

    target_language: str
    tokenize: str
    precision: Precision | None
    search: SearchConfig | None
    of_many: bool = False

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> RunScoring:
        """Read the settings from a run's manifest. Raises UserError for values that no version has written."""
        try:
            precision = manifest.get("decoding_precision")
            return cls(
                target_language=str(manifest.get("target_language", "")),
                tokenize=str(manifest.get("bleu_tokenizer", "")),
                precision=Precision(precision) if precision else None,
                search=search_of(manifest),
                of_many=bool(manifest.get("directions")),
            )
        except (ValueError, TypeError) as error:
            raise UserError(f"the model's manifest.json is damaged: {error}") from None
