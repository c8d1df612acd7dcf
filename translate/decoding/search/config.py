"""Settings of the search for translations, and how manifests and keys record them; without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from translate.errors import UserError, require_at_least, require_between
from translate.parsing import from_plain

# option -> least and most: with other values a score, a quotient or a power would not be a finite number
_RANGES = {
    "length_penalty": (0.0, 10.0),
    "repetition_penalty": (0.01, 100.0),
    "temperature": (1e-4, 1e4),
    "top_p": (1e-6, 1.0),
    "epsilon": (0.0, 1.0),
    "diversity_penalty": (0.0, 100.0),
    "coverage_penalty": (0.0, 100.0),
}


class SearchMethod(StrEnum):
    beam = "beam"
    greedy = "greedy"
    sampling = "sampling"
    diverse_beam = "diverse_beam"
    mbr = "mbr"


class Candidates(StrEnum):
    """Source of the candidates of search.method=mbr."""

    sampling = "sampling"
    beam = "beam"


class Utility(StrEnum):
    """Metric of sentences by which search.method=mbr compares candidates."""

    chrf = "chrf"
    bleu = "bleu"


_BEAMS = (SearchMethod.beam, SearchMethod.diverse_beam)
# option -> methods that use it; all others are for every method
_USED_BY = {
    **dict.fromkeys(("beam_size", "length_penalty", "coverage_penalty"), (*_BEAMS, SearchMethod.mbr)),
    **dict.fromkeys(
        ("temperature", "top_k", "top_p", "epsilon", "samples", "seed"), (SearchMethod.sampling, SearchMethod.mbr)
    ),
    **dict.fromkeys(("candidates", "utility"), (SearchMethod.mbr,)),
    **dict.fromkeys(("groups", "diversity_penalty"), (SearchMethod.diverse_beam,)),
}
_MOST_SAMPLES = 10_000  # mbr compares each with each


@dataclass(kw_only=True)
class SearchConfig:
    """Settings of the search for translations.

    beam_size       hypotheses of a sentence that are extended in parallel
    length_penalty  the alpha of score = log p / length ** alpha, where length counts EOS (the power form)
    min_length      tokens of a translation, EOS not counted
    max_length      likewise; 0: as many as the model allows
    max_length_ratio, max_length_offset   a second bound: ratio * source tokens + offset
    n_best          number of translations of a sentence that are returned, by a beam search
    no_repeat_ngram     n: no n-gram of target tokens occurs twice in a translation, even if it then has to end before
                        min_length; 0: no limit
    repetition_penalty  divides positive logits, and multiplies others, of tokens that a translation already has
                        (Keskar et al. 2019, CTRL); 1: off. Below 1, repetition becomes likelier
    temperature     sampling: divides log probabilities; below 1 likely tokens become likelier
    top_k           sampling: draw from this many of the likeliest tokens; 0: from all
    top_p           sampling: draw from the likeliest tokens, as many as have this probability together (Holtzman et
                    al. 2020); 1: from all
    epsilon         sampling: draw no token less likely than this (Hewitt et al. 2022); 0: off
    samples         sampling: translations of a sentence that are drawn and returned, in the order of the draws; mbr:
                    candidates of a sentence that are drawn
    seed            sampling: of the random numbers
    groups          diverse_beam: parts of the beam, equally large, that search one after the other in each step; 0: as
                    many as hypotheses
    diversity_penalty   diverse_beam: subtracted from the log probability of a token for each hypothesis of an earlier
                    group that takes it at the same position (Vijayakumar et al. 2016)
    coverage_penalty    beam, diverse_beam: the beta of score + beta * sum over source tokens of log min(1, attention
                    received), by which finished hypotheses are ranked (Wu et al. 2016); 0: off
    candidates      mbr: samples, which count alike, or the beam_size best hypotheses, by their probability. The
                    options of that search apply
    utility         mbr: chrf, sentence-level chrF2; bleu, sentence BLEU by tok:13a
    """

    method: SearchMethod = SearchMethod.beam
    beam_size: int = 5
    length_penalty: float = 1.0
    min_length: int = 0
    max_length: int = 0
    max_length_ratio: float = 2.0
    max_length_offset: int = 10
    n_best: int = 1
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    epsilon: float = 0.0
    samples: int = 1
    seed: int = 1
    groups: int = 0
    diversity_penalty: float = 0.5
    coverage_penalty: float = 0.0
    candidates: Candidates = Candidates.sampling
    utility: Utility = Utility.chrf

    def check_model(self, vocabulary_size: int, max_length: int, path: str = "search") -> None:
        """Raise UserError for more hypotheses than a model has first tokens, and for longer ones than it writes."""
        if self.is_beam and self.beam_size > vocabulary_size:
            raise UserError(
                f"{path}.beam_size ({self.beam_size}) must be at most the size of the vocabulary ({vocabulary_size})"
            )
        if self.min_length > max_length:
            raise UserError(f"{path}.min_length ({self.min_length}): the model writes at most {max_length} tokens")

    @property
    def is_beam(self) -> bool:
        return self.method in _BEAMS or (self.method is SearchMethod.mbr and self.candidates is Candidates.beam)

    @property
    def hypotheses(self) -> int:
        """Number of hypotheses of a sentence that are searched for in parallel."""
        return self.beam_size if self.is_beam else self.samples

    @property
    def returned(self) -> int:
        """Number of translations of a sentence that the search returns, where it finds as many."""
        return self.samples if self.method is SearchMethod.sampling else self.n_best

    @property
    def limits_repetition(self) -> bool:
        return self.no_repeat_ngram > 0 or self.repetition_penalty != 1.0

    def check(self, path: str = "search") -> None:
        """Raise UserError for a value out of its range; path: name of this group of options in the message."""
        require_at_least(f"{path}.beam_size", self.beam_size, 1)
        for name in ("min_length", "max_length", "max_length_ratio", "no_repeat_ngram", "top_k"):
            require_at_least(f"{path}.{name}", getattr(self, name), 0)
        for name, (least, most) in _RANGES.items():
            require_between(f"{path}.{name}", getattr(self, name), least, most)
        require_between(f"{path}.samples", self.samples, 1, _MOST_SAMPLES)
        self._check_method(path)
        most = self.hypotheses if self.is_beam or self.method is SearchMethod.mbr else 1
        if not 1 <= self.n_best <= most:
            hint = (
                "; search.samples is the number of translations drawn" if self.method is SearchMethod.sampling else ""
            )
            raise UserError(
                f"{path}.n_best ({self.n_best}) must lie between 1 and the number of hypotheses that "
                f"{path}.method={self.method} keeps ({most}){hint}"
            )
        if self.max_length and self.max_length < self.min_length:
            raise UserError(
                f"{path}.max_length ({self.max_length}) must be at least {path}.min_length ({self.min_length})"
            )
        if self.max_length_ratio == 0 and self.max_length_offset <= 0:
            raise UserError(
                f"{path}.max_length_ratio (0) and {path}.max_length_offset ({self.max_length_offset}) allow no "
                "translation: set one of them above 0"
            )

    def _check_method(self, path: str) -> None:
        """Raise UserError for an option that another method would use, and for groups that do not divide the beam."""
        # older options are ignored where they have no effect, as commands of today rely on
        for name in _NEWER:
            methods = _USED_BY[name]
            if self.method not in methods and getattr(self, name) != _DEFAULTS[name]:
                wanted = " or ".join(methods)
                raise UserError(
                    f"{path}.{name} ({getattr(self, name)}) is for {path}.method={wanted}, not {self.method}"
                )
        if self.method is SearchMethod.mbr and self.hypotheses < 2:
            name = "beam_size" if self.is_beam else "samples"
            raise UserError(
                f"{path}.{name} ({self.hypotheses}) must be at least 2: {path}.method=mbr compares candidates"
            )
        if self.groups < 0 or (self.groups and self.beam_size % self.groups):
            raise UserError(
                f"{path}.groups ({self.groups}) must divide {path}.beam_size ({self.beam_size}) into equal parts; "
                "0: as many groups as hypotheses"
            )


_DEFAULTS = asdict(SearchConfig())
_NEWER = ("top_p", "epsilon", "samples", "groups", "diversity_penalty", "coverage_penalty", "candidates", "utility")
# newer than the first keys of stored translations: left out of a key where they are off, so that those stay valid
NEWER_DEFAULTS = {name: _DEFAULTS[name] for name in _NEWER}

# The search that scored a model is recorded in its manifest, so that evaluate repeats the scores.
_DECIDES_NOTHING = {"n_best"}  # about the first hypothesis


def search_fields(search: SearchConfig) -> dict[str, Any]:
    """The settings of a search in JSON's own types, for manifests."""
    return {name: value.value if isinstance(value, StrEnum) else value for name, value in asdict(search).items()}


def search_of(manifest: Mapping[str, Any]) -> SearchConfig | None:
    """The search that a model was scored with; None where its manifest does not record it.

    Settings that this version does not know are ignored. Raises UserError for a damaged manifest.
    """
    if "search" not in manifest:
        return None
    known, where = {field.name for field in fields(SearchConfig)}, "the model's manifest.json: search"
    if not isinstance(recorded := manifest["search"], dict):
        raise UserError(f"{where} is damaged")
    search = from_plain(SearchConfig, {name: value for name, value in recorded.items() if name in known}, where)
    search.check(where)
    return search


def describe_search(search: SearchConfig) -> str:
    """The method and all settings that differ from the defaults, in one line."""
    defaults = SearchConfig()
    shown = {
        name: value
        for name, value in _effective(search).items()
        if name != "method" and (name == "beam_size" or value != getattr(defaults, name))
    }
    return " ".join([search.method, *(f"{name}={value}" for name, value in shown.items())])


def search_note(recorded: SearchConfig | None, search: SearchConfig) -> str:
    """A line for the user if a search may find other translations than the run's own search; else ""."""
    if recorded is None or _effective(recorded) == _effective(search):
        return ""
    return f"search: {describe_search(search)}; the run's own scores were made with {describe_search(recorded)}"


def _effective(search: SearchConfig) -> dict[str, Any]:
    """The settings that decide the best hypothesis."""
    # options of other methods change nothing: they must not make two searches differ
    unused = {name for name, methods in _USED_BY.items() if search.method not in methods} | _DECIDES_NOTHING
    if search.method is SearchMethod.sampling:  # the first sample is the same however many follow
        unused.add("samples")
    return {name: value for name, value in asdict(search).items() if name not in unused}
