"""The scoring settings of a run in its manifest, with which the evaluate command repeats the run's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from translate.decoding.hypotheses import SearchConfig
from translate.decoding.search_record import search_of
from translate.device import Precision
from translate.errors import UserError
from translate.evaluation.tokenizers import (
    INSTALL_MECAB,
    MECAB,
    OPTIONS,
    TokenizerChoice,
    choose_tokenizer,
    reason_missing,
    script_note,
    tokenizer_of_language,
)


@dataclass(frozen=True, kw_only=True)
class RunScoring:
    """Settings that the scores in a run's log and report depend on; "" or None where an older run did not record them.

    tokenize   BLEU's tokenizer
    precision  in which validation and test sets were decoded
    """

    target_language: str
    tokenize: str
    precision: Precision | None
    search: SearchConfig | None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> RunScoring:
        """Raises UserError for values that no version of this program has written."""
        try:
            precision = manifest.get("decoding_precision")
            return cls(
                target_language=str(manifest.get("target_language", "")),
                tokenize=str(manifest.get("bleu_tokenizer", "")),
                precision=Precision(precision) if precision else None,
                search=search_of(manifest),
            )
        except (ValueError, TypeError) as error:
            raise UserError(f"the model's manifest.json is damaged: {error}") from None

    def tokenizer(self, references: Sequence[Sequence[str]]) -> TokenizerChoice:
        """The run's tokenizer; another one, with a note, where it is not installed or was not recorded."""
        if self.tokenize and not reason_missing(self.tokenize):
            because = f"the run's BLEU counts by tok:{self.tokenize}"
            note = script_note(references, self.tokenize, because=because, options=OPTIONS)
            return TokenizerChoice(self.tokenize, note)
        if self.tokenize:
            fallback = "char" if self.tokenize == MECAB else choose_tokenizer(references, language="").name
            remedy = f" ({INSTALL_MECAB})" if self.tokenize == MECAB else ""
            note = (
                f"the run's BLEU counts by tok:{self.tokenize}, which is not installed here{remedy}: this BLEU counts "
                f"by tok:{fallback} and cannot be compared with the run's"
            )
            return TokenizerChoice(fallback, note)
        if not self.target_language:
            return choose_tokenizer(references, language="", options=OPTIONS)
        tokenize = tokenizer_of_language(self.target_language)
        because = f"the model's target language is {self.target_language}"
        return TokenizerChoice(tokenize, script_note(references, tokenize, because=because, options=OPTIONS))
