"""CTranslate2 as an engine: the options and the guarantees of our own searches, in another project's runtime.

Its beam search ends a sentence as soon as beam_size hypotheses have ended, or, without a length penalty, when the best
one has. Two things that it lacks are added afterwards, for the few sentences that need them: a maximum length for each
sentence, at which hypotheses end with the model's probability; and tokens that must never be generated.

1. Search all sentences without these limits.
2. Search again, with them, for the sentences whose hypotheses break one.
3. Rescore hypotheses whose scores are not the model's own, because tokens were forbidden or the end was cut off.
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
    NEVER_GENERATED,
    ForcedScore,
    Hypothesis,
    Pair,
    SearchConfig,
    SearchMethod,
    Sentence,
    length_limits,
)
from translate.decoding.rescoring.coverage import search_with_coverage
from translate.device import Device, Precision
from translate.errors import DivergedError, UserError
from translate.exporting.ctranslate2_constraints import RuntimeConstraints
from translate.exporting.ctranslate2_limits import FORBIDDEN, breaks_limits, cut_at_repetitions, unsupported
from translate.exporting.ctranslate2_model import ConvertedModel, choose_compute_type, find_gpu, load_runtime
from translate.exporting.ctranslate2_scoring import log_probabilities, score_pieces

_BATCH_TOKENS = 2048
_BATCH_SENTENCES = 32  # fewer or more were slower on the CPUs that were measured
_BATCHES_AHEAD = 3  # per worker, so that none waits for work; the runtime's own queue holds four
_PAIRS_AT_ONCE = 2048  # scored in one call of the runtime, which sorts them by length
_LOWEST_LIMIT = 64  # of tokens in the first search: sentences of all usual lengths share it
_EMPTY_SLOT = -1e30  # slots of the beam that no continuation has taken score less


@dataclass(frozen=True)
class _Batch:
    """Sentences translated together: their indices, and the most tokens of a translation."""

    indices: list[int]
    limit: int


@dataclass(frozen=True)
class _Job:
    """Source sentences as the runtime reads them, the most tokens of the translation of each, and who does the work."""

    sources: list[list[str]]
    limits: list[int]
    config: SearchConfig
    runtime: Any
    workers: int
    constraints: RuntimeConstraints


class CTranslate2Engine:
    """A converted model in CTranslate2's runtime. Raises UserError for a device or precision that the machine lacks.

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
        assert min(batch_tokens, batch_sentences, workers) >= 0, "DecodingConfig.check() was not called"
        self.max_length = converted.max_length
        self._converted, tokenizer = converted, converted.tokenizer
        self._batch_tokens = batch_tokens or _BATCH_TOKENS
        self._batch_sentences = batch_sentences or _BATCH_SENTENCES
        self._source_pieces = tokenizer.source_pieces(range(tokenizer.source_vocab_size))
        self._target_pieces = tokenizer.target_pieces(range(tokenizer.target_vocab_size))
        self._target_ids = {piece: token for token, piece in enumerate(self._target_pieces)}
        gpu = find_gpu(device)
        self._threads = threads
        self._workers = workers or (threads if gpu is None else 1)
        self.precision, compute_type = choose_compute_type(precision, on_gpu=gpu is not None)
        # products of int8 are too short to be shared: a sentence took ten times as long with two threads
        self._may_share_products = not workers and self.precision is not Precision.int8
        self._settings: dict[str, Any] = {"device": "cpu", "compute_type": compute_type}
        if gpu is not None:
            self._settings |= {"device": "cuda", "device_index": gpu}
        self._runtimes: dict[int, Any] = {}  # number of workers -> runtime

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Callable[[float], None] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, best first. Raises UserError for a search that it cannot do."""
        if config.coverage_penalty:
            return search_with_coverage(self, sentences, config, progress=progress)
        if reason := unsupported(config):
            raise UserError(f"{reason}; use engine=native")
        # with fewer sentences than threads, threads that share matrix products are faster than idle ones
        workers = 1 if self._may_share_products and len(sentences) < self._workers else self._workers
        constraints = RuntimeConstraints.of(sentences, self._target_pieces)
        limits = length_limits([len(sentence) + 1 for sentence in sentences], config, self.max_length)
        sources = [[self._source_pieces[token] for token in sentence] for sentence in sentences]
        limits = constraints.lengthened(limits, max_length=config.max_length, most=self.max_length)
        job = _Job(sources, limits, config, self._runtime(workers), workers, constraints)
        found = self._search_unlimited(job, progress)
        again = [index for index in found if breaks_limits(found[index], job.limits[index])]
        found |= self._search_limited(again, job)
        # only together can they leave the runtime without an allowed token
        if config.no_repeat_ngram and config.min_length:
            found = {index: cut_at_repetitions(some, config.no_repeat_ngram) for index, some in found.items()}
        # where tokens were forbidden, the runtime renormalises the probabilities of the others
        changes_probabilities = config.min_length or config.limits_repetition or job.constraints.are_given
        found |= self._rescore(list(found) if changes_probabilities else again, found, job, cut=set(again))
        return [_n_best(found[index], config) for index in range(len(sentences))]

    def score(
        self, pairs: Sequence[Pair], *, details: bool = False, progress: Callable[[float], None] | None = None
    ) -> list[ForcedScore]:
        """Score given translations; see Engine.score. The runtime gives no entropies."""
        runtime, scores = self._runtime(self._workers), list[ForcedScore]()
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            some = pairs[start : start + _PAIRS_AT_ONCE]
            sources = [[self._source_pieces[token] for token in source] for source, _ in some]
            targets = [[self._target_pieces[token] for token in target] for _, target in some]
            scores += score_pieces(runtime, sources, targets, batch_sentences=self._batch_sentences, details=details)
            if progress:
                progress(len(scores) / len(pairs))
        if not all(math.isfinite(score.score()) for score in scores):
            raise DivergedError(DIVERGED)
        return scores

    def _runtime(self, workers: int) -> Any:
        """CTranslate2's translator with the threads shared among this many workers; it stays loaded."""
        if workers not in self._runtimes:
            self._runtimes[workers] = load_runtime(
                self._converted,
                inter_threads=workers,
                intra_threads=max(1, self._threads // workers),
                **self._settings,
            )
        return self._runtimes[workers]

    def _search_unlimited(self, job: _Job, progress: Callable[[float], None] | None) -> dict[int, list[Hypothesis]]:
        """Hypotheses of all sentences; every token is allowed, and more length than a sentence's limit.

        Many sentences share one greatest length, so that batches are full. It is a power of two, not the greatest limit
        of the batch, so that no sentence depends on the others.
        """
        found: dict[int, list[Hypothesis]] = {}
        ceiling = min(job.config.max_length or self.max_length, self.max_length)
        powers = [max(1 << (limit - 1).bit_length(), _LOWEST_LIMIT) for limit in job.limits]
        limits = [max(min(power, ceiling), limit) for power, limit in zip(powers, job.limits, strict=True)]
        batches = self._batches(range(len(job.sources)), limits, job)
        options = _options(job.config) | {"num_hypotheses": job.config.n_best}
        for batch, results in self._run(batches, job, beyond_limit=1, **options):
            found.update(zip(batch.indices, results, strict=True))
            if progress:
                progress(len(found) / len(job.sources))
        return found

    def _search_limited(self, indices: list[int], job: _Job) -> dict[int, list[Hypothesis]]:
        """Hypotheses cut at each sentence's own limit, without forbidden tokens; _rescore adds their ends."""
        beam_size = _beam_size(job.config)
        options = _options(job.config) | {
            "suppress_sequences": [[self._target_pieces[token]] for token in NEVER_GENERATED],
            # beam_size hypotheses that are cut must not displace those that have ended: their scores lack an end
            "num_hypotheses": 2 * beam_size if beam_size > 1 else 1,
            "patience": 2,
        }
        batches = self._batches(indices, job.limits, job)
        found = self._run(batches, job, beyond_limit=0, **options)
        return {index: result for batch, results in found for index, result in zip(batch.indices, results, strict=True)}

    def _rescore(
        self, indices: list[int], found: dict[int, list[Hypothesis]], job: _Job, *, cut: set[int]
    ) -> dict[int, list[Hypothesis]]:
        """The n_best hypotheses of these sentences, with EOS and the model's own probabilities of all tokens.

        Where repetition is limited, they are chosen by the probabilities of the search.
        """
        alpha = job.config.length_penalty
        pairs = [(index, h) for index in indices for h in found[index] if FORBIDDEN.isdisjoint(h.tokens)]
        targets = [[self._target_pieces[token] for token in hypothesis.tokens] for _, hypothesis in pairs]
        sources = [job.sources[index] for index, _ in pairs]
        scored = log_probabilities(job.runtime, sources, targets, batch_sentences=self._batch_sentences)
        ranked: dict[int, list[tuple[float, Hypothesis]]] = {index: [] for index in indices}
        for (index, hypothesis), log_probs in zip(pairs, scored, strict=True):
            length = len(log_probs)
            score = sum(log_probs) / length**alpha
            rank = score
            if job.config.limits_repetition:
                # the search's own score; a hypothesis that was cut at its limit has not paid for EOS yet
                was_cut = index in cut and len(hypothesis.tokens) == job.limits[index]
                log_prob = hypothesis.score * (length - was_cut) ** alpha + was_cut * log_probs[-1]
                rank = log_prob / length**alpha
            ranked[index].append((rank, Hypothesis(tokens=hypothesis.tokens, score=score)))
        return {
            index: [hypothesis for _, hypothesis in sorted(some, key=itemgetter(0), reverse=True)[: job.config.n_best]]
            for index, some in ranked.items()
        }

    def _batches(self, indices: Iterable[int], limits: list[int], job: _Job) -> Iterator[_Batch]:
        """Batches of sentences with one limit, longest first: the last ones are short, so that workers end together."""
        longest_first = sorted(indices, key=lambda index: (limits[index], len(job.sources[index])), reverse=True)
        share = -(-len(longest_first) // job.workers)
        batch: list[int] = []
        for index in longest_first:
            if batch:
                first = batch[0]
                is_full = len(batch) == min(self._batch_sentences, share)
                is_too_big = (len(batch) + 1) * (len(job.sources[first]) + 1) > self._batch_tokens
                if is_full or is_too_big or limits[index] != limits[first]:
                    yield _Batch(batch, limits[first])
                    batch = []
            batch.append(index)
        if batch:
            yield _Batch(batch, limits[batch[0]])

    def _run(
        self, batches: Iterator[_Batch], job: _Job, *, beyond_limit: int, **options: Any
    ) -> Iterator[tuple[_Batch, list[list[Hypothesis]]]]:
        """Each batch and the hypotheses of its sentences, best first, cut where they have not ended."""
        waiting: deque[tuple[_Batch, list[Any]]] = deque()
        while True:
            # keep the runtime's queue filled, without loading all batches into it at once
            for batch in islice(batches, _BATCHES_AHEAD * job.workers - len(waiting)):
                futures = job.runtime.translate_batch(
                    [job.sources[index] for index in batch.indices],
                    asynchronous=True,
                    max_decoding_length=batch.limit + beyond_limit,
                    **job.constraints.options(batch.indices, options),
                )
                waiting.append((batch, futures))
            if not waiting:
                return
            batch, futures = waiting.popleft()
            yield batch, [self._hypotheses(future) for future in futures]

    def _hypotheses(self, future: Any) -> list[Hypothesis]:
        try:
            result = future.result()
        except RuntimeError as error:  # on a GPU: memory or libraries are missing
            raise UserError(f"CTranslate2 cannot translate: {error}") from None
        ids = self._target_ids
        return [
            Hypothesis(tokens=[ids[piece] for piece in hypothesis], score=score)
            for hypothesis, score in zip(result.hypotheses, result.scores, strict=True)
            if score > _EMPTY_SLOT  # false of NaN
        ]


def _options(config: SearchConfig) -> dict[str, Any]:
    return {
        "beam_size": _beam_size(config),
        "length_penalty": config.length_penalty,
        "min_decoding_length": config.min_length,
        "no_repeat_ngram_size": config.no_repeat_ngram,
        "repetition_penalty": config.repetition_penalty,
        "max_input_length": 0,  # no limit: the translator has split the lines already
        "return_scores": True,
    }


def _beam_size(config: SearchConfig) -> int:
    return 1 if config.method is SearchMethod.greedy else config.beam_size


def _n_best(hypotheses: list[Hypothesis], config: SearchConfig) -> list[Hypothesis]:
    finite = [hypothesis for hypothesis in hypotheses if math.isfinite(hypothesis.score)]
    if not finite:
        raise DivergedError(DIVERGED)
    return sorted(finite, key=lambda hypothesis: hypothesis.score, reverse=True)[: config.n_best]
