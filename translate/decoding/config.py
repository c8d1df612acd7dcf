"""Settings and results of searches, common to all engines, and limits of the results' lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Protocol

from translate.device import Device, Precision
from translate.errors import UserError
from translate.tokenizer import BOS, PAD, UNK

NEVER_SAID = (PAD, UNK, BOS)
DIVERGED = "the model's scores are not finite: its training has diverged, it cannot translate"


class SearchMethod(StrEnum):
    beam = "beam"
    greedy = "greedy"
    sampling = "sampling"


@dataclass(kw_only=True)
class SearchConfig:
    """Settings of the search for translations.

    length_penalty  the alpha of score = log p / length ** alpha, where length counts EOS (the power form)
    min_length      tokens of a translation, EOS not counted
    max_length      likewise; 0: as many as the model allows
    max_length_ratio, max_length_offset   a second bound: ratio * source tokens + offset
    n_best          number of translations of a sentence that are returned
    no_repeat_ngram     n: no n-gram of target tokens occurs twice in a translation, even if it then has to end before
                        min_length; 0: no limit
    repetition_penalty  divides positive logits, and multiplies others, of tokens that a translation already has
                        (Keskar et al. 2019, CTRL); 1: off. Below 1, repetition becomes likelier
    temperature     sampling: divides log probabilities; below 1 likely tokens become likelier
    top_k           sampling: draw from so many of the likeliest tokens; 0: from all
    seed            sampling: of the random numbers
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
    seed: int = 1

    @property
    def limits_repetition(self) -> bool:
        return self.no_repeat_ngram > 0 or self.repetition_penalty != 1.0

    def check(self) -> None:
        """Raise UserError for settings that make no search."""
        hypotheses = self.beam_size if self.method is SearchMethod.beam else 1
        if self.beam_size < 1:
            raise UserError(f"search.beam_size ({self.beam_size}) must be at least 1")
        if not 1 <= self.n_best <= hypotheses:
            raise UserError(
                f"search.n_best ({self.n_best}) must lie between 1 and the number of hypotheses that "
                f"search.method={self.method} keeps ({hypotheses})"
            )
        if self.length_penalty < 0:
            raise UserError(f"search.length_penalty ({self.length_penalty}) must not be negative")
        if self.no_repeat_ngram < 0:
            raise UserError(f"search.no_repeat_ngram ({self.no_repeat_ngram}) must not be negative; 0: off")
        if not (self.repetition_penalty > 0 and math.isfinite(self.repetition_penalty)):
            raise UserError(f"search.repetition_penalty ({self.repetition_penalty}) must be a number above 0; 1: off")
        if self.temperature <= 0 or self.top_k < 0:
            raise UserError(
                f"search.temperature ({self.temperature}) must be above 0, search.top_k ({self.top_k}) not negative"
            )
        if self.min_length < 0 or self.max_length < 0:
            raise UserError("search.min_length and search.max_length must not be negative")
        if self.max_length and self.max_length < self.min_length:
            raise UserError(f"search.max_length ({self.max_length}) is less than search.min_length ({self.min_length})")
        if self.max_length_ratio < 0 or self.max_length_ratio == self.max_length_offset == 0:
            raise UserError("search.max_length_ratio and search.max_length_offset leave no room for a translation")


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One translation: its tokens without EOS, and its length-normalised log probability, EOS included.

    The probability is the model's own, without what the search changed to limit repetition.
    """

    tokens: list[int]
    score: float


def length_limits(lengths: Sequence[int], config: SearchConfig, max_length: int) -> list[int]:
    """Most tokens of each sentence's translation, EOS not counted: a function of that sentence alone.

    lengths count the source tokens with EOS; max_length is what the model can write.
    """
    ceiling = min(config.max_length or max_length, max_length)
    wished = [int(config.max_length_ratio * length) + config.max_length_offset for length in lengths]
    return [min(max(limit, config.min_length, 1), ceiling) for limit in wished]


Sentence = tuple[int, ...]  # source tokens, without EOS


class EngineName(StrEnum):
    """native is this package; ctranslate2 another project's runtime, an optional extra."""

    native = "native"
    ctranslate2 = "ctranslate2"


class Engine(Protocol):
    """A model that searches for translations.

    max_length  most tokens of a sentence that it can read or write, without BOS and EOS
    precision   in which it computes, never auto
    """

    @property
    def max_length(self) -> int: ...

    @property
    def precision(self) -> Precision: ...

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Callable[[float], None] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, best first; neither the order nor the batches change them.

        progress is called now and then with the share of sentences that are done.
        """
        ...


def check_batching(*, batch_tokens: int, batch_sentences: int, workers: int) -> None:
    """Raise UserError for negative numbers; 0 leaves the choice to the engine."""
    values = {"batch_tokens": batch_tokens, "batch_sentences": batch_sentences, "workers": workers}
    for name, value in values.items():
        if value < 0:
            raise UserError(f"{name} ({value}) must not be negative; 0 leaves the choice to the engine")


_WITHOUT_EFFECT = {"n_best"}  # on the best hypothesis
_OF_METHOD = {  # settings without effect in other methods
    SearchMethod.beam: {"beam_size", "length_penalty"},
    SearchMethod.sampling: {"temperature", "top_k", "seed"},
}


def search_fields(search: SearchConfig) -> dict[str, Any]:
    """A search in JSON's own types, for manifests."""
    return {name: value.value if isinstance(value, SearchMethod) else value for name, value in asdict(search).items()}


def search_of(manifest: Mapping[str, Any]) -> SearchConfig | None:
    """The search that a model was scored with; None where its manifest does not record it.

    Settings that this version does not know are ignored. Raises UserError for a damaged manifest.
    """
    if "search" not in manifest:
        return None
    known = {field.name for field in fields(SearchConfig)}
    try:
        search = SearchConfig(**{name: value for name, value in manifest["search"].items() if name in known})
        return replace(search, method=SearchMethod(search.method))
    except (AttributeError, ValueError) as error:
        raise UserError(f"the model's manifest.json: the entry search is damaged: {error}") from None


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
    """A line for the user if a search may find other translations than the run's own search; else ""."""
    if of_run is None or _effective(of_run) == _effective(search):
        return ""
    return f"search: {describe_search(search)}; the run's own scores were made with {describe_search(of_run)}"


def _effective(search: SearchConfig) -> dict[str, Any]:
    """The settings that decide the best hypothesis."""
    others = set().union(*(names for method, names in _OF_METHOD.items() if method is not search.method))
    return {name: value for name, value in asdict(search).items() if name not in others | _WITHOUT_EFFECT}


class Split(StrEnum):
    """Which lines are cut although the model can read them whole."""

    auto = "auto"
    never = "never"
    sentences = "sentences"


@dataclass(kw_only=True)
class DecodingConfig:
    """Settings of translation; the configurations of the commands that decode extend them.

    adapter            what adapt=lora, adapter or prefix has trained for the model: a run's folder; "" for none
    tag                symbol such as <2de> to put in front of every source line; "": none, or that of a model that was
                       trained with one tag in front of every line
    batch_tokens       source tokens of a batch, padding counted; each sentence becomes beam_size hypotheses. 0: as
                       many as the engine finds fast
    batch_sentences    most sentences of a batch; 0: as many as batch_tokens allows
    max_source_length  tokens beyond which a line is split; 0: what the model can read
    split              which other lines are split. auto: those of more sentences than training lines usually had,
                       unless the model was trained with split=never; never: none; sentences: at every sentence end
    threads            of the CPU; 0: as many as PyTorch takes by itself
    workers            processes on a CPU that share its threads and the sentences; 0: one for every thread
    """

    search: SearchConfig = field(default_factory=SearchConfig)
    engine: EngineName = EngineName.native
    adapter: str = ""
    tag: str = ""
    batch_tokens: int = 0
    batch_sentences: int = 0
    max_source_length: int = 0
    split: Split = Split.auto
    precision: Precision = Precision.auto
    device: Device = Device.auto
    threads: int = 0
    workers: int = 0
