"""Decoding steps that are recorded once for a size of batches and repeated are those of the plain loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recorders import Repeating, Tape
from translate.batch import Tokens
from translate.decoding import step_graphs
from translate.decoding.active_batch import ActiveBatch
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine, search_batch, start_search
from translate.decoding.step_graphs import Size, StepGraphs
from translate.device import Precision
from translate.gpu_check.launches import work_of
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.tokenizer import EOS

# one in five is long, so that sentences leave and join at different times
SENTENCES = [tuple(4 + (i * j) % 26 for j in range(1 + i % 7 + 30 * (i % 5 == 0))) for i in range(12)]
BEAM = SearchConfig(beam_size=4, n_best=4)
GREEDY = SearchConfig(method=SearchMethod.greedy)


class StepTape(Tape):
    """A tape of decoding steps, whose buffers it restores."""

    def __init__(self):
        super().__init__(lambda: self.buffers)
        self.recordings = 0

    def record(self, work):
        step = work.__self__
        self.buffers = [step.state.positions, step.state.bias, step.state.cache.newest, *step.state.cache.groups]
        self.buffers += [x for x in vars(step.search).values() if isinstance(x, torch.Tensor)]
        self.recordings += 1
        return super().record(work)


class Switched(Repeating):
    """Repeats nothing while it is switched off, as a graph's kernels are launched at once."""

    is_on = True

    def record(self, work):
        return super().record(lambda: work() if self.is_on else None)


class Wrong(Repeating):
    def record(self, work):
        return lambda: None


class Unable(Repeating):
    def record(self, work):
        raise RuntimeError("operation not permitted when stream is capturing")


def small_model(architecture: str = "transformer", **settings):
    torch.manual_seed(1)
    config = ARCHITECTURES[architecture][0].tiny(max_length=40, **settings)
    return build_model(config, Vocabularies(30, 30, shared=True)).double().eval()


def engine(model, recorder, *, batch_sentences: int = 4) -> NativeEngine:
    return NativeEngine(
        model=model,
        device=torch.device("cpu"),
        batch_sentences=batch_sentences,
        precision=Precision.fp32,
        workers=1,
        recorder=recorder,
    )


def assert_equal(found, expected):
    assert [[h.tokens for h in own] for own in found] == [[h.tokens for h in own] for own in expected]
    for own, plain in zip(found, expected, strict=True):
        assert [h.score for h in own] == pytest.approx([h.score for h in plain], abs=1e-6)


@pytest.fixture
def on_pretended_gpu(monkeypatch):
    """Branches of a GPU: on a CPU, a search reads on the host whether a hypothesis has ended."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: True))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(step_graphs, "STEPS_BEFORE", 0)


@pytest.fixture(scope="module")
def model():
    return small_model(positions="rotary")


@pytest.fixture(scope="module")
def expected(model):
    return search_batch(model, SENTENCES, BEAM)


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (BEAM, {"positions": "rotary"}),
        (SearchConfig(beam_size=3, no_repeat_ngram=2, repetition_penalty=1.2, min_length=2), {"target_prefix": (7, 8)}),
        (GREEDY, {}),
    ],
)
def test_replayed_operations_equal_search_batch(config, settings, on_pretended_gpu, caplog):
    model, recorder = small_model(**settings), StepTape()
    few = SENTENCES[:7]
    assert_equal(engine(model, recorder, batch_sentences=3).search(few, config), search_batch(model, few, config))
    assert recorder.recordings
    assert not caplog.messages


@pytest.mark.parametrize("batch_sentences", [1, 12])
@pytest.mark.parametrize("most", [1, 8])
def test_batches_of_any_size_and_few_graphs_change_no_translation(
    model, expected, batch_sentences, most, on_pretended_gpu, monkeypatch
):
    monkeypatch.setattr(step_graphs, "MOST_GRAPHS", most)
    by_graphs = engine(model, Repeating(), batch_sentences=batch_sentences)
    assert_equal(by_graphs.search(SENTENCES, BEAM), expected)
    assert len(by_graphs._graphs._steps) <= most


def test_graphs_are_kept_for_the_same_weights_and_search(model, on_pretended_gpu):
    recorder = Repeating()
    by_graphs = engine(model, recorder)
    by_graphs.search(SENTENCES, GREEDY)
    first = recorder.recordings
    by_graphs.search(SENTENCES, GREEDY)
    assert recorder.recordings == first > 0
    by_graphs.search(SENTENCES, replace(GREEDY, min_length=1))
    assert recorder.recordings > first
    graphs = StepGraphs(model, GREEDY, recorder)
    assert graphs.are_of(model, GREEDY)
    moved = small_model(positions="rotary")
    graphs = StepGraphs(moved, GREEDY, recorder)
    moved.projection.weight.data = moved.projection.weight.data.clone()
    assert not graphs.are_of(moved, GREEDY)


def test_a_size_is_recorded_once_it_has_been_needed_for_many_steps(model, on_pretended_gpu, monkeypatch):
    monkeypatch.setattr(step_graphs, "STEPS_BEFORE", 32)
    recorder = Repeating()
    by_graphs, source = engine(model, recorder), SENTENCES[5][:31]
    by_graphs.search([source], BEAM)
    assert not recorder.recordings, "four steps at a time of a few tokens"
    while not recorder.recordings:
        by_graphs.search([source], BEAM)
    assert recorder.replays < 32


def test_training_gets_the_memory_of_graphs_back(on_pretended_gpu):
    by_graphs = engine(small_model().train(), Repeating())
    by_graphs.search(SENTENCES[:2], GREEDY)
    assert by_graphs._graphs is None


@pytest.mark.parametrize(("recorder", "reason"), [(Wrong(), "differs"), (Unable(), "not permitted")])
def test_a_wrong_or_impossible_graph_is_named_and_left_out(model, expected, recorder, reason, on_pretended_gpu, caplog):
    assert_equal(engine(model, recorder).search(SENTENCES, BEAM), expected)
    [message] = caplog.messages
    assert reason in message


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_steps_that_the_cpu_decides_on_are_not_recorded(architecture, on_pretended_gpu):
    recorder = Repeating()
    method = SearchMethod.greedy if architecture == "lstm" else SearchMethod.sampling
    engine(small_model(architecture), recorder).search(SENTENCES, SearchConfig(method=method))
    assert not recorder.recordings


def test_a_replay_launches_no_kernel_by_itself(model, on_pretended_gpu):
    recorder, search = Switched(), start_search(SENTENCES, BEAM, max_length=40)
    with torch.inference_mode():
        state = model.start(model.encode(Tokens.pad([[*sentence, EOS] for sentence in SENTENCES])))
        batch = ActiveBatch(state, search, list(range(len(SENTENCES))))
        batch.step(model)
        graphs = StepGraphs(model, BEAM, recorder)
        graphs.advance(batch, 4)
        recorder.is_on = False
        work = work_of(lambda: graphs.advance(batch, 4))
    assert (work.launches, work.host_reads) == (0, [])
    assert recorder.replays == 1 + 4 + 4


def test_sizes():
    assert Size(1, 5, 17).rounded() == Size(1, 32, 64)
    assert Size(100, 33, 65).rounded() == Size(104, 64, 128)
    assert Size(104, 64, 128).holds(Size(52, 20, 70))
    assert not Size(104, 64, 128).holds(Size(105, 20, 70))
    assert not Size(104, 64, 128).holds(Size(40, 20, 70)), "more than half of the rows would be empty"
