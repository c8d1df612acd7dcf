"""Decoding steps that are recorded once for a size of batches and repeated are those of the plain loop."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from recorders import Repeating, Tape
from translate.batch import Tokens
from translate.decoding import native_engine, step_graphs
from translate.decoding.active_batch import ActiveBatch
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine, search_batch, start_search
from translate.decoding.search.beam import BeamSearch
from translate.decoding.step_graphs import Size, StepGraphs
from translate.device import Capabilities, Precision
from translate.errors import DivergedError
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
def on_simulated_gpu(monkeypatch):
    """Branches of a GPU: on a CPU, a search reads on the host whether a hypothesis has ended."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: True))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(native_engine, "copy_to_cpu", lambda numbers: (numbers.clone(), None))
    monkeypatch.setattr(step_graphs, "STEPS_BEFORE", 0)


@pytest.mark.parametrize(("graphs", "expected"), [(True, "recorder"), (False, None)])
def test_graphs_can_be_switched_off(monkeypatch, graphs, expected):
    monkeypatch.setattr(native_engine, "CudaRecorder", lambda device: "recorder")
    monkeypatch.setattr(native_engine, "capabilities", lambda device: Capabilities(on_gpu=True))
    device = SimpleNamespace(type="cuda")
    found = NativeEngine(model=small_model(), device=device, precision=Precision.fp32, graphs=graphs)
    assert found.recorder == expected


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
def test_replayed_operations_equal_search_batch(config, settings, on_simulated_gpu, caplog):
    model, recorder = small_model(**settings), StepTape()
    few = SENTENCES[:7]
    assert_equal(engine(model, recorder, batch_sentences=3).search(few, config), search_batch(model, few, config))
    assert recorder.recordings
    assert not caplog.messages


@pytest.mark.parametrize("batch_sentences", [1, 12])
@pytest.mark.parametrize("most", [1, 8])
def test_batches_of_any_size_and_few_graphs_change_no_translation(
    model, expected, batch_sentences, most, on_simulated_gpu, monkeypatch
):
    monkeypatch.setattr(step_graphs, "MOST_GRAPHS", most)
    by_graphs = engine(model, Repeating(), batch_sentences=batch_sentences)
    assert_equal(by_graphs.search(SENTENCES, BEAM), expected)
    assert len(by_graphs._graphs._steps) <= most


def test_graphs_are_kept_for_the_same_weights_and_search(model, on_simulated_gpu):
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


def test_a_size_is_recorded_once_it_has_been_needed_for_many_steps(model, on_simulated_gpu, monkeypatch):
    monkeypatch.setattr(step_graphs, "STEPS_BEFORE", 32)
    recorder = Repeating()
    by_graphs, source = engine(model, recorder), SENTENCES[5][:31]
    by_graphs.search([source], BEAM)
    assert not recorder.recordings, "four steps at a time of a few tokens"
    while not recorder.recordings:
        by_graphs.search([source], BEAM)
    assert recorder.replays < 32


def test_training_gets_the_memory_of_graphs_back(on_simulated_gpu):
    by_graphs = engine(small_model().train(), Repeating())
    by_graphs.search(SENTENCES[:2], GREEDY)
    assert by_graphs._graphs is None


@pytest.mark.parametrize(("recorder", "reason"), [(Wrong(), "differs"), (Unable(), "not permitted")])
def test_a_wrong_or_impossible_graph_is_named_and_left_out(model, expected, recorder, reason, on_simulated_gpu, caplog):
    assert_equal(engine(model, recorder).search(SENTENCES, BEAM), expected)
    [message] = caplog.messages
    assert reason in message


def test_a_sentence_that_diverges_leaves_no_trace_in_the_buffers(on_simulated_gpu):
    """Numbers behind a shorter sentence are masked, but a weight of zero times a NaN is NaN."""
    model = small_model(tying="none")  # the target's embeddings stay numbers
    long, short = (5,) * 20, SENTENCES[6]
    expected = search_batch(model, [short], BEAM)
    with torch.no_grad():
        model.source_embedding.tokens.weight[29] = torch.nan
    by_graphs = engine(model, Repeating())
    by_graphs.search([long, short], BEAM)  # records steps of sound sentences
    with pytest.raises(DivergedError):
        by_graphs.search([(*long[1:], 29), long], BEAM)
    assert_equal(by_graphs.search([short, short], BEAM), expected * 2)


@pytest.mark.parametrize("architecture", ["lstm", "transformer"])
def test_steps_that_the_cpu_decides_on_are_not_recorded(architecture, on_simulated_gpu):
    recorder = Repeating()
    method = SearchMethod.greedy if architecture == "lstm" else SearchMethod.sampling
    engine(small_model(architecture), recorder).search(SENTENCES, SearchConfig(method=method))
    assert not recorder.recordings


def started(model, sentences, indices, *, graphs) -> ActiveBatch:
    """New sentences that have not read a token."""
    state = model.start(model.encode(Tokens.pad([[*sentence, EOS] for sentence in sentences])))
    batch = ActiveBatch(state, start_search(sentences, BEAM, max_length=40), indices)
    graphs.begin(batch)
    return batch


@pytest.fixture
def begun(model, on_simulated_gpu):
    """Recorded steps, and a batch of four sentences in their buffers."""
    graphs = StepGraphs(model, BEAM, Switched())
    with torch.inference_mode():
        batch = started(model, SENTENCES[:4], [10, 11, 12, 13], graphs=graphs)
        graphs.advance(batch, 4)
        yield graphs, batch


def test_a_replay_launches_no_kernel_by_itself(begun):
    graphs, batch = begun
    graphs.recorder.is_on = False
    work = work_of(lambda: graphs.advance(batch, 4))
    assert (work.launches, work.host_reads) == (0, [])
    assert graphs.recorder.replays == 1 + 4 + 4


def test_launches_of_what_is_done_between_steps(model, begun):
    """Before layers lay in one tensor, and new sentences were written into the buffers, each took over a hundred."""
    graphs, batch = begun
    few, [step] = SENTENCES[6:8], graphs._steps
    new, other = (started(model, few, [14, 15], graphs=graphs) for _ in range(2))
    assert len(batch.state.cache.groups) == len(batch.state.memory.keys_and_values) == 1, "of all layers"
    other.search = start_search(few, BEAM, max_length=40)
    assert work_of(lambda: graphs.begin(other)).launches <= 4
    refill = work_of(lambda: graphs.refill(batch, [1, 3], [0, 2], new))
    assert step.holds(batch)
    load = work_of(lambda: step.load(other))
    assert max(refill.launches, load.launches) <= 19
    assert refill.host_reads == load.host_reads == []


def test_sentences_that_replace_others_in_the_buffers_are_translated_as_by_themselves(model, begun):
    graphs, batch = begun
    new = started(model, SENTENCES[6:8], [14, 15], graphs=graphs)
    assert graphs.refill(batch, [1, 3], [0, 2], new) is batch
    assert batch.indices == [10, 14, 12, 15]
    while not batch.search.done.all():
        graphs.advance(batch, 4)
    expected = search_batch(model, [SENTENCES[index] for index in (0, 6, 2, 7)], BEAM)
    assert_equal([own for _, own in batch.results([0, 1, 2, 3])], expected)


def test_shorter_sentences_move_into_smaller_buffers(model, begun, monkeypatch):
    monkeypatch.setattr(step_graphs, "_LEAST_SOURCE", 4)
    graphs, batch = begun
    new = started(model, SENTENCES[1:4], [14, 15, 16], graphs=graphs)
    assert graphs.refill(batch, [0, 1, 2], [3], new) is batch
    assert batch.state.memory.bias.shape[-1] == 32
    while batch.state.memory.bias.shape[-1] == 32 and not batch.search.done.all():
        graphs.advance(batch, 4)
    assert graphs._steps[-1].size.source_length == 8, "five tokens with EOS"
    while not batch.search.done.all():
        graphs.advance(batch, 4)
    expected = search_batch(model, [SENTENCES[index] for index in (1, 2, 3, 3)], BEAM)
    assert_equal([own for _, own in batch.results([0, 1, 2, 3])], expected)


def test_longer_sentences_do_not_fit_into_the_buffers(model, begun):
    graphs, batch = begun
    longer = started(model, [(4,) * 39, SENTENCES[1]], [14, 15], graphs=graphs)
    refilled = graphs.refill(batch, [1, 3], [0, 2], longer)
    assert refilled is not batch
    assert refilled.state.memory.bias.shape[-1] == 40
    assert refilled.indices == [10, 14, 12, 15]


@pytest.mark.parametrize("limit", [1, 5])
def test_empty_slots_before_the_first_token_change_nothing(limit):
    torch.manual_seed(2)
    search = BeamSearch.start([[4]] * 3, torch.tensor([limit] * 3), BEAM)
    logits = torch.randn(3, 30)
    expected, _ = search.advance(logits)
    found, parents = search.with_all_slots().advance(logits.repeat_interleave(BEAM.beam_size, dim=0))
    seen = expected.active_log_probs > -torch.inf
    assert seen.any() == (limit > 1)
    assert not parents[seen].any()
    assert torch.equal(found.active_tokens[seen], expected.active_tokens[seen])
    for name in ("active_log_probs", "finished_scores", "num_finished", "done", "lengths"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


def test_recorded_sentences_leave_once_smaller_buffers_can_serve_the_others(begun):
    graphs, batch = begun
    batch.indices = list(range(128))
    assert graphs.worth_moving(batch) == 80
    assert not Size(128, 64, 128).holds(Size(48, 64, 128))
    batch.indices = list(range(16))
    assert graphs.worth_moving(batch) == 16
    graphs._has_given_up = True
    assert graphs.worth_moving(batch) == 1


def test_a_step_runs_while_the_host_reads_which_sentences_are_done(model, on_simulated_gpu, monkeypatch):
    recorder, copied, waited = Repeating(), [], []

    def copy(numbers):
        copied.append(recorder.replays)
        return numbers.clone(), SimpleNamespace(synchronize=lambda: waited.append(recorder.replays))

    monkeypatch.setattr(native_engine, "copy_to_cpu", copy)
    by_graphs = engine(model, recorder)
    for _ in range(2):  # the second time everything is recorded
        recorder.replays = 0
        copied.clear()
        waited.clear()
        by_graphs.search([(5,) * 7], replace(BEAM, max_length_ratio=1.0, max_length_offset=2, min_length=9))
    # the first step, and those up to the tenth token, EOS
    assert copied == [1 + 4, 1 + 8, 1 + 12]
    assert waited == [1 + copy for copy in copied]


def test_sizes():
    assert Size(1, 5, 17).rounded() == Size(1, 32, 64)
    assert Size(100, 33, 65).rounded() == Size(104, 64, 128)
    assert Size(104, 64, 128).holds(Size(52, 20, 70))
    assert not Size(104, 64, 128).holds(Size(105, 20, 70))
    assert not Size(104, 64, 128).holds(Size(40, 20, 70)), "more than half of the rows would be empty"
