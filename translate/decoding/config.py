"""The contract of decoding, without PyTorch: settings of a search, its results, and what an engine provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Protocol

from translate.decoding.constraints import ConstraintConfig
from translate.decoding.memory_config import MemoryConfig
from translate.device import Device, Precision, require_threads
from translate.errors import UserError, excerpt, require_at_least, require_between, require_numbers
from translate.files import flatten, sha256, to_plain
from translate.parsing import from_plain
from translate.tokenizer import BOS, PAD, UNK
from translate.truecasing import Case

NEVER_GENERATED = (PAD, UNK, BOS)
DIVERGED = "the model's scores are not finite: its training has diverged, and it cannot translate"
Sentence = tuple[int, ...]  # source tokens, without EOS


# option -> least and most: with other values a score, a quotient or a power would not be a finite number
_RANGES = {"length_penalty": (0.0, 10.0), "repetition_penalty": (0.01, 100.0), "temperature": (1e-4, 1e4)}


class SearchMethod(StrEnum):
    beam = "beam"
    greedy = "greedy"
    sampling = "sampling"


@dataclass(kw_only=True)
class SearchConfig:
    """Settings of the search for translations.

    beam_size       hypotheses of a sentence that are extended in parallel
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
    top_k           sampling: draw from this many of the likeliest tokens; 0: from all
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

    def check_model(self, vocabulary_size: int, max_length: int, path: str = "search") -> None:
        """Raise UserError for more hypotheses than a model has first tokens, and for longer ones than it writes."""
        if self.method is SearchMethod.beam and self.beam_size > vocabulary_size:
            raise UserError(
                f"{path}.beam_size ({self.beam_size}) must be at most the size of the vocabulary ({vocabulary_size})"
            )
        if self.min_length > max_length:
            raise UserError(f"{path}.min_length ({self.min_length}): the model writes at most {max_length} tokens")

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
        hypotheses = self.beam_size if self.method is SearchMethod.beam else 1
        if not 1 <= self.n_best <= hypotheses:
            raise UserError(
                f"{path}.n_best ({self.n_best}) must lie between 1 and the number of hypotheses that "
                f"{path}.method={self.method} keeps ({hypotheses})"
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


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One translation: its tokens without EOS, and its length-normalised log probability, EOS included.

    The probability is the model's own, without the changes by which the search limits repetition.
    """

    tokens: list[int]
    score: float


def length_limits(lengths: Sequence[int], config: SearchConfig, max_length: int) -> list[int]:
    """Most tokens of each sentence's translation, EOS not counted: a function of that sentence alone.

    lengths     source tokens of each sentence, EOS counted
    max_length  tokens that the model can write
    """
    ceiling = min(config.max_length or max_length, max_length)
    wanted = [int(config.max_length_ratio * length) + config.max_length_offset for length in lengths]
    # one token at least, and never more than the model can write, whatever min_length asks
    return [min(max(limit, config.min_length, 1), ceiling) for limit in wanted]


class EngineName(StrEnum):
    """native is this package; ctranslate2 another project's runtime, an optional extra."""

    native = "native"
    ctranslate2 = "ctranslate2"


class Engine(Protocol):
    """A model that searches for translations.

    max_length  most tokens of a sentence that it can read or write, without BOS and EOS
    precision   of its arithmetic, never auto
    """

    @property
    def max_length(self) -> int: ...

    @property
    def precision(self) -> Precision: ...

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Callable[[float], None] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, best first; neither their order nor the batches change them.

        progress is called now and then with the fraction of sentences that are done. Raises UserError for a search
        that the engine does not have, DivergedError where the model's scores are not finite.
        """
        ...


class Split(StrEnum):
    """Lines to split although the model can read them whole."""

    auto = "auto"
    never = "never"
    sentences = "sentences"


@dataclass(kw_only=True)
class DecodingConfig:
    """Settings of translation; the configurations of the commands that decode extend them.

    adapter            adapter trained with adapt=lora, adapter or prefix for the model: a run's folder; "" for none
    tag                symbol such as <2de> to put in front of every source line; "": none, or that of a model that was
                       trained with one tag in front of every line
    target_language    code of the language of the translations, such as zh: chooses the tag of a model of several,
                       BLEU's tokenizer, and what is written into documents; "": the model's
    batch_tokens       source tokens of a batch, padding counted; each sentence becomes beam_size hypotheses. 0: as
                       many as the engine finds fast
    batch_sentences    most sentences of a batch; 0: as many as batch_tokens allows
    max_source_length  tokens beyond which a line is split; 0: what the model can read
    split              which other lines are split. auto: those of more sentences than training lines usually had,
                       unless the model was trained with split=never; never: none; sentences: at every sentence end
    case               lines in capitals get the usual case of their words, and capitals again when they are translated;
                       those in Title Case the former. auto: unless the training text has many such lines, or the model
                       was trained with case=keep; restore: in any case; keep: no line
    threads            of the CPU; 0: as many as PyTorch takes by itself
    workers            processes on a CPU that share its threads and the sentences; 0: one for every thread
    """

    search: SearchConfig = field(default_factory=SearchConfig)
    constraints: ConstraintConfig = field(default_factory=ConstraintConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    engine: EngineName = EngineName.native
    adapter: str = ""
    tag: str = ""
    target_language: str = ""
    batch_tokens: int = 0
    batch_sentences: int = 0
    max_source_length: int = 0
    split: Split = Split.auto
    case: Case = Case.auto
    precision: Precision = Precision.auto
    device: Device = Device.auto
    threads: int = 0
    workers: int = 0

    def check(self) -> None:
        """Raise UserError for a value out of its range, before a model is loaded."""
        require_numbers(self)
        self.search.check()
        self.constraints.check()
        self.memory.check()
        for name in ("batch_tokens", "batch_sentences", "max_source_length"):
            require_at_least(name, getattr(self, name), 0)
        for name in ("threads", "workers"):
            require_threads(name, getattr(self, name))
        if self.precision is Precision.int8 and self.engine is EngineName.native:
            raise UserError("precision=int8 is for engine=ctranslate2")


_ONLY_FOR_SPEED = {"batch_tokens", "batch_sentences", "threads", "workers"}


def deciding_options(config: DecodingConfig) -> dict[str, Any]:
    """Options that decide translations, by their names; those for speed and memory alone are left out."""
    own = {field.name for field in fields(DecodingConfig)} - _ONLY_FOR_SPEED - {"adapter"}  # whose content decides
    # newer than the keys of unfinished translations
    own -= {name for name in ("constraints", "memory") if getattr(config, name) == getattr(DecodingConfig(), name)}
    files = [*config.constraints.files, *config.memory.paths]
    options = flatten({name: to_plain(getattr(config, name)) for name in sorted(own)})
    options = {name: value for name, value in options.items() if name != "target_language" or value}
    return options | {f"content of {path}": sha256(path) for path in files}


# The search that scored a model is recorded in its manifest, so that evaluate repeats the scores.
_DECIDES_NOTHING = {"n_best"}  # about the best hypothesis
_ONLY_FOR_METHOD = {
    SearchMethod.beam: {"beam_size", "length_penalty"},
    SearchMethod.sampling: {"temperature", "top_k", "seed"},
}


def search_fields(search: SearchConfig) -> dict[str, Any]:
    """The settings of a search in JSON's own types, for manifests."""
    return {name: value.value if isinstance(value, SearchMethod) else value for name, value in asdict(search).items()}


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


def split_of(manifest: Mapping[str, Any]) -> Split:
    """The splitting of lines that a model's manifest records. Raises UserError for a damaged manifest."""
    recorded = manifest.get("split", Split.auto)
    if recorded not in list(Split):
        raise UserError(f"the model's manifest.json: split is {excerpt(repr(recorded))}, none of {', '.join(Split)}")
    return Split(recorded)


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
    others = set().union(*(names for method, names in _ONLY_FOR_METHOD.items() if method is not search.method))
    return {name: value for name, value in asdict(search).items() if name not in others | _DECIDES_NOTHING}
