"""The engine of this package: our models, driven by our searches.

search_batch() is the whole of decoding in a dozen lines. NativeEngine finds the same hypotheses and keeps the device
busy: it takes sentences longest first, as many at a time as batch_tokens allows; those that are done leave, and waiting
ones take their rows, so that batches stay full until the queue is empty.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from translate.batch import Tokens, copy_to_cpu
from translate.decoding.active_batch import ActiveBatch
from translate.decoding.arithmetic import Arithmetic
from translate.decoding.config import ForcedScore, Hypothesis, Pair, SearchConfig, SearchMethod, Sentence, length_limits
from translate.decoding.constraints.constraints import ConstrainedSentence
from translate.decoding.rescoring.coverage import search_with_coverage
from translate.decoding.scoring import PairScores
from translate.decoding.search.base import Found, Queue, Report, Search, sentences_in_memory
from translate.decoding.search.beam import BeamSearch
from translate.decoding.search.constrained import constrained
from translate.decoding.search.diverse_beam import DiverseBeamSearch
from translate.decoding.search.greedy import GreedySearch, SamplingSearch
from translate.decoding.step_graphs import StepGraphs
from translate.decoding.workers import num_useful_workers, run_in_processes
from translate.device import Precision, capabilities, decoding_precision
from translate.errors import DivergedError
from translate.memory import is_out_of_memory, machine_memory
from translate.models.seq2seq import Seq2Seq, evaluation_mode
from translate.recording import CudaRecorder, Recorder
from translate.tokenizer import EOS

logger = logging.getLogger(__name__)
# Finished sentences stay until they are this fraction of the batch: their rows cost time, and so does moving the state
# of the others.
_LEAVING_FRACTION = 1 / 8
_STEPS_BETWEEN_CHECKS = 4  # on a GPU, where reading `done` waits for the steps that were launched
_BATCH_TOKENS = {"cpu": 1024, "cuda": 32_768}
# adding one is one class, one line here, and one YAML in configs/search
SEARCHES: dict[SearchMethod, type[Search]] = {
    SearchMethod.beam: BeamSearch,
    SearchMethod.greedy: GreedySearch,
    SearchMethod.sampling: SamplingSearch,
    SearchMethod.diverse_beam: DiverseBeamSearch,
}


@torch.inference_mode()
def search_batch(model: Seq2Seq, sentences: Sequence[Sentence], config: SearchConfig) -> list[list[Hypothesis]]:
    """Translate one batch, on the CPU: the reference that NativeEngine must equal.

    sentences are source tokens without EOS; returns the n_best hypotheses of each, best first.
    """
    sources = [[*sentence, EOS] for sentence in sentences]
    search = start_search(sentences, config, max_length=model.max_length)
    state = model.start(model.encode(Tokens.pad(sources)))
    while not search.done.all():
        logits, state = model.step(search.last_tokens, state)
        search, parents = search.advance(logits)
        if parents is not None:  # greedy search and sampling never reorder
            state = state.reorder(parents)
    return search.hypotheses()


def start_search(
    sentences: Sequence[Sentence], config: SearchConfig, *, max_length: int, device: torch.device | None = None
) -> Search:
    """The search that the configuration names, before the first token of these sentences, with their constraints.

    max_length  most tokens that the model writes, without EOS
    """
    sources = [[*sentence, EOS] for sentence in sentences]
    limits = [1 + limit for limit in length_limits([len(x) for x in sources], config, max_length)]  # with EOS
    search = SEARCHES[config.method].start(sources, torch.tensor(limits, device=device), config)
    # all sentences of a job are constrained, or none is
    if isinstance(sentences[0], ConstrainedSentence):
        search = constrained(search, sentences, max_length=max_length)
    return search


@dataclass(kw_only=True, eq=False)
class NativeEngine:
    """A model on its device, and the size of the batches that it translates.

    batch_tokens     source tokens of a batch, padding counted; each sentence becomes several hypotheses. 0: 1,024 on a
                     CPU, where more is no faster and takes more memory, 32,768 on a GPU
    batch_sentences  most sentences of a batch; 0: as many as batch_tokens allows
    precision        auto: the fastest of the device (translate.device); after construction the one in use
    workers          processes with one thread each, which are faster on a CPU than threads that share every matrix
                     product; 0: as many as there are threads
    graphs           decoding steps are recorded as CUDA graphs, on a GPU
    recorder         of decoding steps as graphs; None: on a GPU that of CUDA graphs, on a CPU none
    """

    model: Seq2Seq
    device: torch.device
    batch_tokens: int = 0
    batch_sentences: int = 0
    precision: Precision = Precision.auto
    workers: int = 0
    graphs: bool = True
    recorder: Recorder | None = None

    def __post_init__(self) -> None:
        assert min(self.batch_tokens, self.batch_sentences, self.workers) >= 0, "DecodingConfig.check() was not called"
        self.batch_tokens = self.batch_tokens or _BATCH_TOKENS[self.device.type]
        self.precision = decoding_precision(self.precision, capabilities(self.device))
        self.arithmetic = Arithmetic(self.device, self.precision)
        self.arithmetic.check(self.model)
        if self.graphs and self.device.type == "cuda" and self.recorder is None:
            self.recorder = CudaRecorder(self.device)
        self._graphs: StepGraphs | None = None

    @property
    def max_length(self) -> int:
        return self.model.max_length

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Callable[[float], None] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, best first.

        progress is called with the fraction of sentences that are done. Raises DivergedError where the model's scores
        are not finite.
        """
        if config.coverage_penalty:
            return search_with_coverage(self, sentences, config, progress=progress)
        # Longest first: neighbours are about equally long, which saves padding, and the last batches are short, so that
        # workers finish together.
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]), reverse=True)
        found: dict[int, list[Hypothesis]] = {}

        def report(finished: Found) -> None:
            found.update((order[rank], hypotheses) for rank, hypotheses in finished)
            if progress:
                progress(len(found) / len(sentences))

        with evaluation_mode(self.model) as was_training, self.arithmetic.exact_products():
            if was_training:  # a fused optimizer changes weights without counting it in their version
                self.arithmetic.forget()
            while order:  # once, unless memory fails: what is found stays, as no translation depends on its batch
                try:
                    self._search([sentences[index] for index in order], config, report)
                except (RuntimeError, MemoryError) as error:
                    self._halve_batches(error, len(sentences[order[0]]))
                except DivergedError:
                    self._drop_graphs()  # NaNs in their buffers would spoil other sentences, masked or not
                    raise
                order = [index for index in order if index not in found]
            if was_training:  # it needs the memory
                self._drop_graphs()
        return [found[index] for index in range(len(sentences))]

    def score(
        self, pairs: Sequence[Pair], *, details: bool = False, progress: Callable[[float], None] | None = None
    ) -> list[ForcedScore]:
        """Score given translations; see Engine.score. On a CPU, fp16 and int8 score with fp32 weights."""
        scores = PairScores(self.model, pairs, self.device, details=details, progress=progress)
        dtype = self.arithmetic.autocast
        autocast = torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)
        with evaluation_mode(self.model), self.arithmetic.exact_products(), autocast:
            while scores.missing:
                try:
                    scores.add_missing(batch_tokens=self.batch_tokens, batch_sentences=self.batch_sentences)
                except (RuntimeError, MemoryError) as error:
                    self._halve_batches(error, scores.longest)
        return scores.in_order()

    def _halve_batches(self, error: Exception, longest: int) -> None:
        """Halve batch_tokens after an error for lack of memory; raise others, and those of a batch of one sentence."""
        if not is_out_of_memory(error) or self.batch_tokens <= longest:
            raise error
        self._drop_graphs()
        self.batch_tokens //= 2
        logger.warning(f"out of memory while translating: batches of {self.batch_tokens} tokens now (batch_tokens)")

    def _search(self, longest_first: Sequence[Sentence], config: SearchConfig, report: Report) -> None:
        """Translate sentences in this process, or share them among several where that is faster."""
        most = self._most_sentences(longest_first, config)
        workers = num_useful_workers(self.workers, len(longest_first)) if self.device.type == "cpu" else 1
        workers = min(workers, most)
        # no batch above a worker's share: the first would take all sentences
        share = -(-len(longest_first) // workers)
        model = self.arithmetic.for_search(self.model)
        job = DecodingJob(
            model=model,
            device=self.device,
            autocast=self.arithmetic.autocast,
            sentences=longest_first,
            config=config,
            batch_tokens=self.batch_tokens,
            batch_sentences=min(self.batch_sentences or share, share, most // workers),
            graphs=self._graphs_of(model, config),
        )
        if workers == 1:
            job.run(Queue(len(longest_first)), report)
        else:
            run_in_processes(job.run, len(longest_first), workers, report)

    def _graphs_of(self, model: Seq2Seq, config: SearchConfig) -> StepGraphs | None:
        """Recorded steps of a model and search, kept for the next sentences; None without a recorder."""
        if self.recorder is not None and not (self._graphs and self._graphs.are_of(model, config)):
            self._drop_graphs()
            self._graphs = StepGraphs(model, config, self.recorder)
        return self._graphs

    def _drop_graphs(self) -> None:
        if self._graphs is not None:
            self._graphs.close()
        self._graphs = None

    def _most_sentences(self, longest_first: Sequence[Sentence], config: SearchConfig) -> int:
        """Number of sentences that all workers together may search for at a time, in half of the memory."""
        memory = capabilities(self.device).memory or machine_memory()
        limit = max(length_limits([len(longest_first[0]) + 1], config, self.max_length)) if longest_first else 1
        size, cached = self.model.projection.out_features, self.model.cached_per_token * limit
        return sentences_in_memory(config, memory // 2, vocabulary_size=size, cached=cached)


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodingJob:
    """Sentences to translate, longest first, and all that a process needs for it."""

    model: Seq2Seq
    device: torch.device
    autocast: torch.dtype | None
    sentences: Sequence[Sentence]
    config: SearchConfig
    batch_tokens: int
    batch_sentences: int
    graphs: StepGraphs | None = None

    @torch.inference_mode()
    def run(self, queue: Queue, report: Report) -> None:
        """Translate sentences from the queue, which holds their indices, until it is empty."""
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            batch = self._start_sentences(queue, active=[], num_finished=0)
            while batch is not None:
                enough = max(1, len(batch.indices) * _LEAVING_FRACTION)
                if self.graphs is not None and queue.next_index == len(self.sentences):
                    enough = max(enough, self.graphs.worth_moving(batch))  # no sentence waits for their rows
                finished = self._step_until_some_finish(batch, enough)
                active = sorted(set(range(len(batch.indices))) - set(finished))
                report(batch.results(finished))
                # at least one sentence leaves in each round, so the loop ends
                staying = [batch.indices[row] for row in active]
                new = self._start_sentences(queue, active=staying, num_finished=len(finished))
                parts = finished, active, new
                batch = self.graphs.refill(batch, *parts) if self.graphs else batch.refill(*parts)

    def _start_sentences(self, queue: Queue, *, active: Sequence[int], num_finished: int) -> ActiveBatch | None:
        """Take sentences from the queue and start them; None if there are none, or no room for them."""
        indices = queue.take(self._room(queue.next_index, active=active, num_finished=num_finished))
        if not indices:
            return None
        sentences = [self.sentences[index] for index in indices]
        search = start_search(sentences, self.config, max_length=self.model.max_length, device=self.device)
        sources = Tokens.pad([[*sentence, EOS] for sentence in sentences])
        state = self.model.start(self.model.encode(sources.to(self.device)))
        new = ActiveBatch(state, search, indices)
        if self.graphs is not None:
            self.graphs.begin(new)
            if not active:  # a first token hardly ever ends a sentence: it needs no check
                self.graphs.advance(new, 1)
        else:
            # the first step is theirs alone: all hypotheses of a sentence are equal there, so each has only one
            new.step(self.model)
        return new

    def _room(self, next_index: int, *, active: Sequence[int], num_finished: int) -> int:
        """Number of sentences, from next_index on, that fit into the batch beside the active ones."""
        if next_index == len(self.sentences):
            return 0
        # the longest row decides how wide all rows of the batch are
        longest = max(len(self.sentences[index]) for index in [next_index, *active]) + 1
        room = min(max(1, self.batch_tokens // longest), self.batch_sentences) - len(active)
        # writing over the rows of the finished ones costs less than copying the batch to add a few more
        return num_finished if num_finished < room < 2 * num_finished else room

    def _step_until_some_finish(self, batch: ActiveBatch, enough: float) -> list[int]:
        """Rows of the finished sentences, once they are enough."""
        ahead = 0
        while True:
            if self.graphs is None:
                batch.step(self.model)
                done = batch.search.done
            else:
                self.graphs.advance(batch, _STEPS_BETWEEN_CHECKS - ahead)
                done, copied = copy_to_cpu(batch.search.done)
                # one more step keeps the device busy while the host reads and launches the next ones
                self.graphs.advance(batch, ahead := 1)
                if copied is not None:
                    copied.synchronize()
            finished = [row for row, is_done in enumerate(done.tolist()) if is_done]
            if len(finished) >= enough:
                return finished
