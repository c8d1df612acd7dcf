"""The engine of this package: our own models, driven by our own searches.

Sentences are taken longest first, as many at a time as the budget allows. Those that are done leave, and others take
their places, so that batches stay full until nothing waits any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch

from translate.batch import Tokens
from translate.decoding.beam import BeamSearch
from translate.decoding.config import Hypothesis, SearchConfig, SearchMethod, Sentence, check_batching, length_limits
from translate.decoding.greedy import GreedySearch, SamplingSearch
from translate.decoding.search import Search
from translate.decoding.workers import Found, Queue, Report, work_in_processes, worthwhile_workers
from translate.device import Precision, capabilities, decoding_precision, without_tf32
from translate.models.half_weights import with_half_weights
from translate.models.seq2seq import Seq2Seq, State
from translate.tokenizer import EOS

# Sentences that are done stay until they are this share of the batch: their rows cost time, and so does moving
# what is kept of the others.
_LEAVING_SHARE = 1 / 8
_STEPS_BETWEEN_CHECKS = 4  # on a GPU, which must not wait for every answer
_BATCH_TOKENS = {"cpu": 1024, "cuda": 4096}
_AUTOCAST = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}


@dataclass(kw_only=True, eq=False)
class NativeEngine:
    """A model on its device, and how many sentences it translates at a time.

    batch_tokens     source tokens of a batch, padding counted; each sentence becomes several hypotheses. 0: 1,024 on a
                     CPU, where more is no faster and takes more memory, 4,096 on a GPU
    batch_sentences  most sentences of a batch; 0: as many as batch_tokens allows
    precision        auto: the fastest of the device (translate.device); after construction the one in use
    workers          processes with one thread each, which are faster on a CPU than threads that share every matrix
                     product; 0: as many as there are threads
    """

    model: Seq2Seq
    device: torch.device
    batch_tokens: int = 0
    batch_sentences: int = 0
    precision: Precision = Precision.auto
    workers: int = 0

    def __post_init__(self) -> None:
        check_batching(batch_tokens=self.batch_tokens, batch_sentences=self.batch_sentences, workers=self.workers)
        self.batch_tokens = self.batch_tokens or _BATCH_TOKENS[self.device.type]
        self.precision = decoding_precision(self.precision, capabilities(self.device))
        self._half: tuple[list[int], Seq2Seq] | None = None

    @property
    def max_length(self) -> int:
        return self.model.max_length

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Callable[[float], None] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, best first."""
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]), reverse=True)
        longest_first = [sentences[index] for index in order]
        found: dict[int, list[Hypothesis]] = {}

        def report(some: Found) -> None:
            found.update((order[place], hypotheses) for place, hypotheses in some)
            if progress:
                progress(len(found) / len(sentences))

        if self.model.training:  # a fused optimizer changes weights without counting it in their version
            self._half = None
        exact = self.device.type == "cuda" and self.precision is Precision.fp32
        with _evaluating(self.model), without_tf32() if exact else nullcontext():
            self._share_out(longest_first, config, report)
        return [found[index] for index in range(len(sentences))]

    def _share_out(self, sentences: Sequence[Sentence], config: SearchConfig, report: Report) -> None:
        workers = worthwhile_workers(self.workers, len(sentences)) if self.device.type == "cpu" else 1
        share = -(-len(sentences) // workers)
        work = _Work(
            model=self._fastest_model(),
            device=self.device,
            autocast=_AUTOCAST.get(self.precision) if self._uses_autocast else None,
            sentences=sentences,
            config=config,
            batch_tokens=self.batch_tokens,
            batch_sentences=min(self.batch_sentences or share, share),
        )
        if workers == 1:
            work.do(Queue(len(sentences)), report)
        else:
            work_in_processes(work.do, len(sentences), workers, report)

    @property
    def _uses_autocast(self) -> bool:
        return self.device.type == "cuda" or self.precision is Precision.bf16

    def _fastest_model(self) -> Seq2Seq:
        """The model, or its copy with half weights, made again when the model has changed: it may be in training."""
        if self.precision is not Precision.fp16 or self._uses_autocast:
            return self.model
        versions = [parameter._version for parameter in self.model.parameters()]
        if self._half is None or self._half[0] != versions:
            self._half = versions, with_half_weights(self.model)
        return self._half[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """Sentences to translate, longest first, and all that a process needs for it."""

    model: Seq2Seq
    device: torch.device
    autocast: torch.dtype | None
    sentences: Sequence[Sentence]
    config: SearchConfig
    batch_tokens: int
    batch_sentences: int

    @torch.inference_mode()
    def do(self, queue: Queue, report: Report) -> None:
        """Translate what can be taken from the queue: places in the order of sentences."""
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            batch = self._begin(queue, living=[], leaving=0)
            while batch is not None:
                leaving = self._step_until_some_leave(batch)
                report(list(zip([batch.places[row] for row in leaving], batch.search.collect(leaving), strict=True)))
                staying = sorted(set(range(len(batch.places))) - set(leaving))
                new = self._begin(queue, living=[batch.places[row] for row in staying], leaving=len(leaving))
                batch = batch.exchange(leaving, staying, new)

    def _begin(self, queue: Queue, *, living: Sequence[int], leaving: int) -> _UnderWay | None:
        """Further sentences, as many as there is room for beside the living ones, with their first tokens.

        At the first token all hypotheses of a sentence would be the same: there is one then.
        """

        def free(first: int) -> int:
            longest = max(len(self.sentences[place]) for place in [first, *living]) + 1
            room = max(1, self.batch_tokens // longest)
            count = min(room, self.batch_sentences) - len(living)
            # taking over places costs less than growing by a few
            return leaving if leaving < count < 2 * leaving else count

        places = queue.take(free)
        if not places:
            return None
        chosen = [[*self.sentences[place], EOS] for place in places]
        limits = length_limits([len(sentence) for sentence in chosen], self.config, self.model.max_length)
        limit = torch.tensor(limits, device=self.device) + 1
        search = SEARCHES[self.config.method].start(chosen, limit, self.config)
        state = self.model.start(self.model.encode(Tokens.pad(chosen).to(self.device)))
        new = _UnderWay(state, search, places)
        new.step(self.model)
        return new

    def _step_until_some_leave(self, batch: _UnderWay) -> list[int]:
        """The rows that are done, once they are enough to be worth the move."""
        enough = max(1, len(batch.places) * _LEAVING_SHARE)
        while True:
            for _ in range(_STEPS_BETWEEN_CHECKS if self.device.type == "cuda" else 1):
                batch.step(self.model)
            done = batch.search.done.tolist()  # waits for the device
            if sum(done) >= enough:
                return [row for row, is_done in enumerate(done) if is_done]


@dataclass(eq=False)
class _UnderWay:
    """Sentences being translated: what the model and the search remember of them, and which they are."""

    state: State
    search: Search
    places: list[int]

    def step(self, model: Seq2Seq) -> None:
        logits, self.state = model.step(self.search.last_tokens, self.state)
        self.search, parents = self.search.extend(logits)
        if parents is not None:
            self.state = self.state.reorder(parents)

    def exchange(self, leaving: Sequence[int], staying: Sequence[int], new: _UnderWay | None) -> _UnderWay | None:
        """Without the leaving rows, and with the new ones: in their places if they are as many."""
        if not staying:
            return new
        if new is not None and len(new.places) == len(leaving):
            rows = torch.tensor(leaving, device=self.search.done.device)
            taken_over = dict(zip(leaving, new.places, strict=True))
            places = [taken_over.get(row, place) for row, place in enumerate(self.places)]
            return _UnderWay(self.state.replace(rows, new.state), self.search.replace(rows, new.search), places)
        rows = torch.tensor(staying, device=self.search.done.device)
        kept = _UnderWay(self.state.keep(rows), self.search.keep(rows), [self.places[row] for row in staying])
        if new is None:
            return kept
        return _UnderWay(kept.state.join(new.state), kept.search.join(new.search), kept.places + new.places)


@contextmanager
def _evaluating(model: Seq2Seq) -> Iterator[None]:
    """Without dropout; what was being trained goes on being trained afterwards."""
    training = model.training
    if training:  # to tell all modules takes as long as a step of a search
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()


# adding one is one class, one line here, and one YAML in configs/search
SEARCHES: dict[SearchMethod, type[Search]] = {
    SearchMethod.beam: BeamSearch,
    SearchMethod.greedy: GreedySearch,
    SearchMethod.sampling: SamplingSearch,
}
