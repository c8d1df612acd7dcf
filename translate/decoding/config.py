"""The contract of decoding, without PyTorch: settings of a search, its results, and what an engine provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from translate.decoding.constraints.constraints import ConstraintConfig
from translate.decoding.rescoring.rerank_config import RerankConfig
from translate.decoding.search.config import NEWER_DEFAULTS, SearchConfig, SearchMethod
from translate.decoding.translation_memory_config import MemoryConfig
from translate.device import Device, Precision, require_threads
from translate.errors import UserError, excerpt, require_at_least, require_numbers
from translate.files import flatten, sha256, to_plain
from translate.tokenizer import BOS, PAD, UNK
from translate.truecasing import Case

__all__ = [  # what decoding is made of
    "DecodingConfig",
    "Engine",
    "EngineName",
    "ForcedScore",
    "Hypothesis",
    "Pair",
    "SearchConfig",
    "SearchMethod",
    "Sentence",
    "Split",
]

NEVER_GENERATED = (PAD, UNK, BOS)
DIVERGED = "the model's scores are not finite: its training has diverged, and it cannot translate"
Sentence = tuple[int, ...]  # source tokens, without EOS
Pair = tuple[Sentence, tuple[int, ...]]  # a sentence and a translation of it, both without EOS


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One translation: its tokens without EOS, and its length-normalised log probability, EOS included.

    The probability is the model's own, without the changes by which the search limits repetition.
    """

    tokens: list[int]
    score: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ForcedScore:
    """Scores that a model gives to the tokens of a given translation, EOS last; T of them with EOS.

    log_probs  natural logarithm of each token's probability after the source and the tokens before it
    entropies  of the distributions that these probabilities are taken from, in nats; None if the engine has none
    attention  (T, S): attention of each of them to the source tokens, EOS counted; None for a model without attention
    """

    log_probs: list[float]
    entropies: list[float] | None = None
    attention: NDArray[np.float32] | None = None

    def score(self, length_penalty: float = 1.0) -> float:
        """Log probability of the whole translation / length ** length_penalty, as of a Hypothesis."""
        return sum(self.log_probs) / len(self.log_probs) ** length_penalty  # EOS is one of them: never empty


def length_limits(lengths: Sequence[int], config: SearchConfig, max_length: int) -> list[int]:
    """Most tokens of each sentence's translation, EOS not counted: a function of that sentence alone.

    lengths     source tokens of each sentence, EOS counted
    max_length  tokens that the model can write
    """
    # of each sentence alone: a limit by the longest of a batch would make translations depend on the batch
    ceiling = min(config.max_length or max_length, max_length)
    wanted = [int(config.max_length_ratio * length) + config.max_length_offset for length in lengths]
    # one token at least, and never more than the model can write, whatever min_length asks
    return [min(max(limit, config.min_length, 1), ceiling) for limit in wanted]


class EngineName(StrEnum):
    """native is this package; ctranslate2 and onnx are runtimes of other projects, optional extras."""

    native = "native"
    ctranslate2 = "ctranslate2"
    onnx = "onnx"


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

    def score(
        self, pairs: Sequence[Pair], *, details: bool = False, progress: Callable[[float], None] | None = None
    ) -> list[ForcedScore]:
        """Score given translations of up to max_length tokens, in order; the batches do not change the scores.

        details   also compute entropies and attention, as far as engine and model have them
        progress  called now and then with the fraction of pairs that are done

        Raises DivergedError where the scores are not finite.
        """
        ...


@dataclass(frozen=True)
class RescoringEngine:
    """Base of an engine that chooses among the hypotheses of another one, which scores given translations by itself."""

    engine: Engine

    @property
    def max_length(self) -> int:
        return self.engine.max_length

    @property
    def precision(self) -> Precision:
        return self.engine.precision

    def score(
        self, pairs: Sequence[Pair], *, details: bool = False, progress: Callable[[float], None] | None = None
    ) -> list[ForcedScore]:
        return self.engine.score(pairs, details=details, progress=progress)


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
    graphs             steps of plain searches on a GPU are recorded and replayed as CUDA graphs, where that is possible
    """

    search: SearchConfig = field(default_factory=SearchConfig)
    rerank: RerankConfig = field(default_factory=RerankConfig)
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
    graphs: bool = True

    def check(self) -> None:
        """Raise UserError for a value out of its range, before a model is loaded."""
        require_numbers(self)
        self.search.check()
        self.rerank.check()
        self.constraints.check()
        self.memory.check()
        # sampling has no beam to order, and mbr an order of its own
        if self.rerank.models and self.search.method is not SearchMethod.beam:
            raise UserError(f"rerank orders the hypotheses of search.method=beam, not {self.search.method}")
        if self.search.coverage_penalty and (self.rerank.models or self.search.method is SearchMethod.mbr):
            other = "rerank" if self.rerank.models else "search=mbr"
            raise UserError(f"search.coverage_penalty and {other} order the same hypotheses: leave one of them out")
        for name in ("batch_tokens", "batch_sentences", "max_source_length"):
            require_at_least(name, getattr(self, name), 0)
        for name in ("threads", "workers"):
            require_threads(name, getattr(self, name))

    def refuse_constraints(self, instead: str) -> None:
        """Raise UserError for constraints and translation memories, where neither is used; instead: a way out."""
        for option, is_given in (("constraints", self.constraints.is_given), ("memory.path", bool(self.memory.paths))):
            if is_given:
                raise UserError(f"{option} is for commands that translate lines: {instead}")


_ONLY_FOR_SPEED = {"batch_tokens", "batch_sentences", "threads", "workers", "graphs"}


def deciding_options(config: DecodingConfig) -> dict[str, Any]:
    """Options that decide translations, by their names; those for speed and memory alone are left out."""
    own = {field.name for field in fields(DecodingConfig)} - _ONLY_FOR_SPEED
    own -= {"adapter", "rerank"}  # the content of models decides, not their names
    # left out where they are off, so that translations begun by an older version can be continued
    own -= {name for name in ("constraints", "memory") if getattr(config, name) == getattr(DecodingConfig(), name)}
    options = flatten({name: to_plain(getattr(config, name)) for name in sorted(own)})
    options |= flatten(to_plain(config.rerank), "rerank") if config.rerank.models else {}
    # files by their content: a terminology that was edited decides anew
    options |= {f"content of {path}": sha256(path) for path in (*config.constraints.files, *config.memory.paths)}
    off = {f"search.{name}": default for name, default in NEWER_DEFAULTS.items()} | {"target_language": ""}
    return {name: value for name, value in options.items() if name not in off or value != off[name]}


def split_of(manifest: Mapping[str, Any]) -> Split:
    """The splitting of lines that a model's manifest records. Raises UserError for a damaged manifest."""
    recorded = manifest.get("split", Split.auto)
    if recorded not in list(Split):
        raise UserError(f"the model's manifest.json: split is {excerpt(repr(recorded))}, none of {', '.join(Split)}")
    return Split(recorded)
