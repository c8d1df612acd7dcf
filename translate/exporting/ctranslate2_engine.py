"""Decoding with CTranslate2 behind the same face as our own searches: same options, same contracts.

Its beam search ends a sentence as soon as beam_size hypotheses have ended, or, without a length penalty, when the best
one has. Two things that it lacks are made good afterwards, for the few sentences that need them: a maximum length of
each sentence's own, at which hypotheses end by the model's probability; and tokens that must never be said.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

from translate.decoding.config import (
    DIVERGED,
    NEVER_SAID,
    Hypothesis,
    SearchConfig,
    SearchMethod,
    Sentence,
    check_batching,
    length_limits,
)
from translate.device import Device, Precision, gpu_of_process, runtime_precision
from translate.errors import DivergedError, UserError
from translate.exporting.ctranslate2_model import ConvertedModel
from translate.model_directory import import_ctranslate2

_BATCH_TOKENS = 2048
_SENTENCES = 32  # of a batch: fewer or more were slower
_BATCHES_AHEAD = 3  # per worker, so that none waits for work; the runtime's own queue holds four
_LOWEST_LIMIT = 64  # of tokens in the first search
_NOTHING = -1e30  # a place in the beam that no continuation has taken scores less
_FORBIDDEN = frozenset(NEVER_SAID)
_COMPUTE_TYPES = {
    Precision.fp32: "float32",
    Precision.bf16: "bfloat16",
    Precision.fp16: "float16",
    Precision.int8: "int8",
}


@dataclass(frozen=True)
class _Batch:
    """Sentences translated together: which, and the most tokens of a translation."""

    places: list[int]
    limit: int


@dataclass(frozen=True)
class _Input:
    """Source sentences as the runtime reads them, the most tokens of each one's translation, and who does the work."""

    source: list[list[str]]
    limits: list[int]
    config: SearchConfig
    runtime: Any
    workers: int


class CTranslate2Engine:
    """A converted model in CTranslate2's runtime. Raises UserError for what the machine cannot do.

    threads          of the CPU, shared by the workers
    workers          batches translated at a time; 0: as many as there are threads, of one thread each, since several
                     for one batch wait for each other; but one with all threads for fewer sentences than threads
    batch_tokens     source tokens of a batch, padding counted; 0: 2,048
    batch_sentences  most sentences of a batch; 0: as many as are fast
    """

    def __init__(
        self,
        converted: ConvertedModel,
        *,
        threads: int,
        workers: int = 0,
        batch_tokens: int = 0,
        batch_sentences: int = 0,
        precision: Precision = Precision.auto,
        device: Device = Device.auto,
    ):
        check_batching(batch_tokens=batch_tokens, batch_sentences=batch_sentences, workers=workers)
        self._batch_tokens = batch_tokens or _BATCH_TOKENS
        self._batch_sentences = batch_sentences or _SENTENCES
        tokenizer = converted.tokenizer
        self._source_pieces = tokenizer.source_pieces(range(tokenizer.source_vocab_size))
        self._target_pieces = tokenizer.target_pieces(range(tokenizer.target_vocab_size))
        self._target_ids = {piece: token for token, piece in enumerate(self._target_pieces)}
        self._converted = converted
        gpu = _gpu(device)
        on_gpu = gpu is not None
        self._threads = threads
        self._workers = workers or (1 if on_gpu else threads)
        compute_type = _compute_type(precision, on_gpu=on_gpu)
        # products of int8 are too short to be shared: a sentence took ten times as long with two threads
        self._may_share_products = not workers and compute_type != "int8"
        self._settings: dict[str, Any] = {"device": "cpu", "compute_type": compute_type}
        if on_gpu:
            self._settings |= {"device": "cuda", "device_index": gpu}
        self._runtimes: dict[int, Any] = {}  # by workers

    @property
    def max_length(self) -> int:
        return self._converted.max_length

    @property
    def precision(self) -> Precision:
        names = {name: precision for precision, name in _COMPUTE_TYPES.items()}
        return names[self._settings["compute_type"]]

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Callable[[float], None] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, best first. Raises UserError for a search that it cannot do."""
        if config.method is SearchMethod.sampling:
            raise UserError("search.method=sampling: CTranslate2 never draws the same again; use engine=native")
        workers = 1 if self._may_share_products and len(sentences) < self._workers else self._workers
        work = _Input(
            [[self._source_pieces[token] for token in sentence] for sentence in sentences],
            length_limits([len(sentence) + 1 for sentence in sentences], config, self.max_length),
            config,
            self._runtime(workers),
            workers,
        )
        found = self._first_search(work, progress)
        again = [place for place in found if _is_wrong(found[place], work.limits[place])]
        found |= self._second_search(again, work)
        if config.no_repeat_ngram and config.min_length:
            found = {place: _cut_at_repetitions(some, config.no_repeat_ngram) for place, some in found.items()}
        # where tokens were forbidden, the runtime shares their probability out among the others
        changes_probabilities = config.min_length or config.limits_repetition
        found |= self._rescored(list(found) if changes_probabilities else again, found, work, cut=set(again))
        return [_best(found[place], config) for place in range(len(sentences))]

    def _runtime(self, workers: int) -> Any:
        """CTranslate2's translator that shares the threads among so many workers; it stays loaded."""
        if workers not in self._runtimes:
            self._runtimes[workers] = _load(
                self._converted,
                inter_threads=workers,
                intra_threads=max(1, self._threads // workers),
                **self._settings,
            )
        return self._runtimes[workers]

    def _first_search(self, work: _Input, progress: Callable[[float], None] | None) -> dict[int, list[Hypothesis]]:
        """Every token is allowed, and more length than a sentence's limit: batches are full if many share one.

        It is a power of two, not the greatest limit of the batch, so that no sentence depends on the others.
        """
        found: dict[int, list[Hypothesis]] = {}
        ceiling = min(work.config.max_length or self.max_length, self.max_length)
        limits = [min(max(1 << (limit - 1).bit_length(), _LOWEST_LIMIT), ceiling) for limit in work.limits]
        batches = self._batches(range(len(work.source)), limits, work)
        options = _options(work.config) | {"num_hypotheses": work.config.n_best}
        for batch, results in self._run(batches, work, beyond_limit=1, **options):
            found.update(zip(batch.places, results, strict=True))
            if progress:
                progress(len(found) / len(work.source))
        return found

    def _second_search(self, places: list[int], work: _Input) -> dict[int, list[Hypothesis]]:
        """Up to each sentence's own limit, where hypotheses are cut; their ends are for _rescored to add."""
        beam_size = _beam_size(work.config)
        options = _options(work.config) | {
            "suppress_sequences": [[self._target_pieces[token]] for token in NEVER_SAID],
            # beam_size hypotheses that are cut must not displace those that have ended: their scores lack an end
            "num_hypotheses": 2 * beam_size if beam_size > 1 else 1,
            "patience": 2,
        }
        batches = self._batches(places, work.limits, work)
        found = self._run(batches, work, beyond_limit=0, **options)
        return {place: result for batch, results in found for place, result in zip(batch.places, results, strict=True)}

    def _rescored(
        self, places: list[int], found: dict[int, list[Hypothesis]], work: _Input, *, cut: set[int]
    ) -> dict[int, list[Hypothesis]]:
        """The hypotheses of these sentences with EOS and the model's own probabilities of all tokens.

        Where repetition is limited, the n_best of them are chosen by the probabilities of the search.
        """
        alpha, n_best = work.config.length_penalty, work.config.n_best
        pairs = [
            (place, hypothesis)
            for place in places
            for hypothesis in found[place]
            if _FORBIDDEN.isdisjoint(hypothesis.tokens)
        ]
        results = work.runtime.score_batch(
            [work.source[place] for place, _ in pairs],
            [[self._target_pieces[token] for token in hypothesis.tokens] for _, hypothesis in pairs],
            max_batch_size=self._batch_sentences,
            max_input_length=0,
        )
        rescored: dict[int, list[tuple[float, Hypothesis]]] = {place: [] for place in places}
        for (place, hypothesis), result in zip(pairs, results, strict=True):
            length = len(result.log_probs)
            own = sum(result.log_probs) / length**alpha
            rank = own
            if work.config.limits_repetition:
                was_cut = place in cut and len(hypothesis.tokens) == work.limits[place]
                found_by = hypothesis.score * (length - was_cut) ** alpha + was_cut * result.log_probs[-1]
                rank = found_by / length**alpha
            rescored[place].append((rank, Hypothesis(tokens=hypothesis.tokens, score=own)))
        return {
            place: [hypothesis for _, hypothesis in sorted(ranked, key=itemgetter(0), reverse=True)[:n_best]]
            for place, ranked in rescored.items()
        }

    def _batches(self, places: Iterable[int], limits: list[int], work: _Input) -> Iterator[_Batch]:
        """Batches of sentences with one limit, longest first: the last ones are short, so that workers end together."""
        longest_first = sorted(places, key=lambda place: (limits[place], len(work.source[place])), reverse=True)
        share = -(-len(longest_first) // work.workers)
        batch: list[int] = []
        for place in longest_first:
            if batch:
                first = batch[0]
                full = len(batch) == min(self._batch_sentences, share)
                too_big = (len(batch) + 1) * (len(work.source[first]) + 1) > self._batch_tokens
                if full or too_big or limits[place] != limits[first]:
                    yield _Batch(batch, limits[first])
                    batch = []
            batch.append(place)
        if batch:
            yield _Batch(batch, limits[batch[0]])

    def _run(
        self, batches: Iterator[_Batch], work: _Input, *, beyond_limit: int, **options: Any
    ) -> Iterator[tuple[_Batch, list[list[Hypothesis]]]]:
        """Each batch and the hypotheses of its sentences, best first, cut where they have not ended."""
        waiting: deque[tuple[_Batch, list[Any]]] = deque()
        while True:
            for batch in islice(batches, _BATCHES_AHEAD * work.workers - len(waiting)):
                futures = work.runtime.translate_batch(
                    [work.source[place] for place in batch.places],
                    asynchronous=True,
                    max_decoding_length=batch.limit + beyond_limit,
                    **options,
                )
                waiting.append((batch, futures))
            if not waiting:
                return
            batch, futures = waiting.popleft()
            yield batch, [self._readable(_result(future)) for future in futures]

    def _readable(self, result: Any) -> list[Hypothesis]:
        ids = self._target_ids
        return [
            Hypothesis(tokens=[ids[piece] for piece in hypothesis], score=score)
            for hypothesis, score in zip(result.hypotheses, result.scores, strict=True)
            if score > _NOTHING  # false of what is not a number
        ]


def _result(future: Any) -> Any:
    try:
        return future.result()
    except RuntimeError as error:  # of a GPU: memory or libraries that are missing
        raise UserError(f"CTranslate2 cannot translate: {error}") from None


def _options(config: SearchConfig) -> dict[str, Any]:
    return {
        "beam_size": _beam_size(config),
        "length_penalty": config.length_penalty,
        "min_decoding_length": config.min_length,
        "no_repeat_ngram_size": config.no_repeat_ngram,
        "repetition_penalty": config.repetition_penalty,
        "max_input_length": 0,
        "return_scores": True,
    }


def _beam_size(config: SearchConfig) -> int:
    return 1 if config.method is SearchMethod.greedy else config.beam_size


def _is_wrong(hypotheses: list[Hypothesis], limit: int) -> bool:
    """True if a hypothesis is longer than its limit, or has tokens that are forbidden."""
    return any(len(h.tokens) > limit or not _FORBIDDEN.isdisjoint(h.tokens) for h in hypotheses)


def _cut_at_repetitions(hypotheses: list[Hypothesis], n: int) -> list[Hypothesis]:
    """Hypotheses up to the first token that is forbidden or completes an n-gram for the second time.

    The runtime generates such a token where min_length forbids EOS and nothing else is left. _rescored adds EOS.
    """
    cut: dict[tuple[int, ...], Hypothesis] = {}
    for hypothesis in hypotheses:
        tokens = hypothesis.tokens[: _first_repetition(hypothesis.tokens, n)]
        cut.setdefault(tuple(tokens), Hypothesis(tokens=tokens, score=hypothesis.score))
    return list(cut.values())


def _first_repetition(tokens: list[int], n: int) -> int:
    ngrams: set[tuple[int, ...]] = set()
    for place, token in enumerate(tokens):
        ngram = tuple(tokens[max(0, place + 1 - n) : place + 1])
        if token in _FORBIDDEN or ngram in ngrams:
            return place
        if len(ngram) == n:
            ngrams.add(ngram)
    return len(tokens)


def _best(hypotheses: list[Hypothesis], config: SearchConfig) -> list[Hypothesis]:
    finite = [hypothesis for hypothesis in hypotheses if math.isfinite(hypothesis.score)]
    if not finite:
        raise DivergedError(DIVERGED)
    return sorted(finite, key=lambda hypothesis: hypothesis.score, reverse=True)[: config.n_best]


def _gpu(device: Device) -> int | None:
    """Index of the GPU that this process uses; None for the CPU. Raises UserError for device=cuda without a GPU."""
    found = import_ctranslate2().get_cuda_device_count()
    if device is Device.cuda and not found:
        raise UserError("device=cuda, but CTranslate2 finds no GPU here; use device=cpu or device=auto")
    return gpu_of_process(found) if found and device is not Device.cpu else None


def _compute_type(precision: Precision, *, on_gpu: bool) -> str:
    """CTranslate2's name of a precision. Raises UserError where the runtime would replace it by another."""
    names = import_ctranslate2().get_supported_compute_types("cuda" if on_gpu else "cpu")
    supported = [other for other, name in _COMPUTE_TYPES.items() if name in names]
    return _COMPUTE_TYPES[runtime_precision(precision, supported, on_gpu=on_gpu)]


def _load(converted: ConvertedModel, **settings: Any) -> Any:
    try:
        return import_ctranslate2().Translator(str(converted.directory), **settings)
    except (RuntimeError, ValueError) as error:  # raised for damaged files
        raise UserError(f"{converted.directory}: CTranslate2 cannot load the model: {error}") from None
