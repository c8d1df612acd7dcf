"""How a run scored its model, as the manifest records it, so that the evaluate command gives the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from translate.decoding.engine import Precision
from translate.decoding.hypotheses import SearchConfig, SearchMethod
from translate.errors import UserError
from translate.evaluation.tokenizers import (
    INSTALL_MECAB,
    MECAB,
    TokenizerChoice,
    choose_tokenizer,
    reason_missing,
    script_note,
    tokenizer_of_language,
)

_OPTIONS = ("target_language", "tokenize")
# of a search, without effect on its best hypothesis: always, or unless it is done by that method
_WITHOUT_EFFECT = {"n_best"}
_OF_METHOD = {
    SearchMethod.beam: {"beam_size", "length_penalty"},
    SearchMethod.sampling: {"temperature", "top_k", "seed"},
}


@dataclass(frozen=True, kw_only=True)
class RunScoring:
    """What decided the scores in a run's log and report; "" or None where an older run does not say.

    tokenize   what BLEU counted as words
    tag        the symbol before each source line of the validation set; tags are all that the model knows
    precision  that validation and test were decoded in
    """

    target_language: str
    tokenize: str
    tag: str
    tags: list[str]
    precision: Precision | None
    search: SearchConfig | None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> RunScoring:
        """Raises UserError for values that no version of this program has written."""
        try:
            precision, search = manifest.get("decoding_precision"), manifest.get("search")
            return cls(
                target_language=str(manifest.get("target_language", "")),
                tokenize=str(manifest.get("bleu_tokenizer", "")),
                tag=str(manifest.get("tag", "")),
                tags=list(manifest.get("tags", [])),
                precision=Precision(precision) if precision else None,
                search=_read_search(search) if search else None,
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"the model's manifest.json is damaged: {error}") from None

    def tokenizer(self, references: Sequence[Sequence[str]]) -> TokenizerChoice:
        """That of the run; where it cannot be had here, or the run did not record one, another, with a note."""
        if self.tokenize and not reason_missing(self.tokenize):
            because = f"the run's BLEU counts by tok:{self.tokenize}"
            note = script_note(references, self.tokenize, because=because, options=_OPTIONS)
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
            return choose_tokenizer(references, language="", options=_OPTIONS)
        tokenize = tokenizer_of_language(self.target_language)
        because = f"the model's target language is {self.target_language}"
        return TokenizerChoice(tokenize, script_note(references, tokenize, because=because, options=_OPTIONS))

    def tagged(self, source: Sequence[str]) -> list[str]:
        """Source lines as the run's validation set has them; lines that begin with a tag of the model keep theirs."""
        if not self.tag:
            return list(source)
        known = tuple({self.tag, *self.tags})
        return [line if line.startswith(known) else f"{self.tag} {line}" for line in source]


def search_fields(search: SearchConfig) -> dict[str, Any]:
    """A search in JSON's own types, for manifests."""
    return {name: value.value if isinstance(value, SearchMethod) else value for name, value in asdict(search).items()}


def describe_search(search: SearchConfig) -> str:
    """The method and whatever differs from the defaults, in one line."""
    usual = SearchConfig()
    shown = {
        name: value
        for name, value in _effective(search).items()
        if name != "method" and (name == "beam_size" or value != getattr(usual, name))
    }
    return " ".join([search.method, *(f"{name}={value}" for name, value in shown.items())])


def search_note(of_run: SearchConfig | None, search: SearchConfig) -> str:
    """One line where a search finds other translations than the one that the run was scored with; else ""."""
    if of_run is None or _effective(of_run) == _effective(search):
        return ""
    return f"search: {describe_search(search)}; the run's own scores were made with {describe_search(of_run)}"


def _effective(search: SearchConfig) -> dict[str, Any]:
    """The settings that decide the best hypothesis."""
    others = set().union(*(names for method, names in _OF_METHOD.items() if method is not search.method))
    return {name: value for name, value in asdict(search).items() if name not in others | _WITHOUT_EFFECT}


def _read_search(values: Mapping[str, Any]) -> SearchConfig:
    known = {field.name for field in fields(SearchConfig)}
    search = SearchConfig(**{name: value for name, value in values.items() if name in known})
    search.method = SearchMethod(search.method)
    return search
