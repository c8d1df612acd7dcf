"""The contract of an architecture, over the table of all, so that a new one is covered without an edit here."""

import re

import numpy as np
import pytest
import torch

from small_models import ALL, BAG, MODELS, make_model
from small_runs import ON_CPU, composed, update_config
from translate.adaptation import ADAPTATIONS, AdapterConfig, adapt
from translate.batch import Tokens, pad_batch
from translate.config.options import CONFIGS
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision
from translate.distributed import World
from translate.errors import UserError
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.seq2seq import Seq2Seq, State
from translate.tokenizer import BOS
from translate.training.config import TrainConfig
from translate.training.optimizer import OptimizerConfig, make_optimizer
from translate.training.parallel import parallelize
from translate.training.step import train_step

SOURCE = [[5, 6, 7, 8], [9, 10], [11, 12, 13, 14, 15, 16]]
TARGET = [[20, 21], [22, 23, 24, 25, 26], [27]]

every_model = pytest.mark.parametrize(
    ("name", "settings"), MODELS, ids=[" ".join([name, *map(str, settings.values())]) for name, settings in MODELS]
)


def arrays(sentences):
    return [np.array(sentence) for sentence in sentences]


def padded_batch():
    return pad_batch(arrays(SOURCE), arrays(TARGET))


@every_model
def test_step_equals_teacher_forcing(name, settings):
    model, batch = make_model(name, **settings), padded_batch()
    with torch.no_grad():
        expected = model(batch).logits()
        state = model.start(model.encode(batch.source))
        for position in range(batch.target.max_length):
            logits, state = model.step(batch.target.ids[:, position], state)
            real = batch.target.mask[:, position]
            torch.testing.assert_close(logits[real], expected[real, position], rtol=1e-6, atol=1e-8)


@every_model
def test_padding_changes_nothing(name, settings):
    model = make_model(name, **settings)
    alone = pad_batch(arrays(SOURCE[1:2]), arrays(TARGET[1:2]))
    with torch.no_grad():
        torch.testing.assert_close(model(padded_batch()).hidden[1], model(alone).hidden[0], rtol=1e-6, atol=1e-8)


@every_model
def test_later_target_tokens_are_invisible(name, settings):
    model = make_model(name, **settings)
    changed = [[20, 21], [22, 23, 29, 29, 29], [27]]
    with torch.no_grad():
        first, second = (model(pad_batch(arrays(SOURCE), arrays(target))).hidden for target in (TARGET, changed))
    torch.testing.assert_close(first[1, :3], second[1, :3])
    assert not torch.allclose(first[1, 3], second[1, 3])


def step_alone(model: Seq2Seq, sentence: list[int], tokens: list[int]) -> torch.Tensor:
    """Logits after one hypothesis of one sentence has read these tokens."""
    with torch.no_grad():
        state = model.start(model.encode(Tokens.pad([[*sentence, 3]])))
        for token in tokens:
            logits, state = model.step(torch.tensor([token]), state)
    return logits[0]


@torch.no_grad()
def begun(model: Seq2Seq, sentences: list[list[int]], *, steps: int) -> State:
    """Two hypotheses of each sentence that have read BOS so many times: as one, until then."""
    state = model.start(model.encode(Tokens.pad([[*sentence, 3] for sentence in sentences])))
    for _ in range(steps):
        _, state = model.step(torch.full((len(sentences),), 2), state)
    return state.reorder(torch.zeros(len(sentences), 2, dtype=torch.long))


@every_model
def test_selecting_joining_and_replacing_sentences_changes_no_logits(name, settings):
    """Two of each sentence: reordered; sentences leave, join, take rows of others; and all that again."""
    random = np.random.default_rng(1)
    model = make_model(name, max_length=60, **settings)
    sentences = [random.integers(4, 30, random.integers(1, 9)).tolist() for _ in range(60)]
    waiting = list(range(60))
    histories: dict[int, list[list[int]]] = {}
    state = None
    for step in range(40):
        if step % 3 == 0 and waiting:
            new, waiting = waiting[:3], waiting[3:]
            fresh = begun(model, [sentences[i] for i in new], steps=step % 2)
            state = fresh if state is None else state.concat(fresh)
            histories.update({i: [[2] * (step % 2) for _ in range(2)] for i in new})
        tokens = torch.from_numpy(random.integers(4, 30, 2 * len(histories)))
        with torch.no_grad():
            logits, state = model.step(tokens, state)
        for row, token in enumerate(tokens.tolist()):
            list(histories.values())[row // 2][row % 2].append(token)
        for row in random.integers(0, len(logits), 2).tolist():
            sentence, history = list(histories.items())[row // 2]
            expected = step_alone(model, sentences[sentence], history[row % 2])
            torch.testing.assert_close(logits[row], expected, rtol=1e-6, atol=1e-8)
        parents = torch.from_numpy(random.integers(0, 2, (len(histories), 2)))
        state = state.reorder(parents)
        for own, chosen in zip(histories.values(), parents.tolist(), strict=True):
            own[:] = [list(own[k]) for k in chosen]
        if step % 4 == 1 and waiting:
            row = int(random.integers(len(histories)))
            new, waiting = waiting[0], waiting[1:]
            state = state.replace(torch.tensor([row]), begun(model, [sentences[new]], steps=1))
            entries = list(histories.items())
            entries[row] = (new, [[2], [2]])
            histories = dict(entries)
        if len(histories) > 8:
            rows = sorted(random.permutation(len(histories))[:5].tolist())
            state = state.select(torch.tensor(rows))
            histories = {i: h for row, (i, h) in enumerate(histories.items()) if row in rows}


@every_model
def test_returning_attention_changes_no_logits(name, settings):
    model, batch = make_model(name, **settings), padded_batch()
    assert model(batch).attention is None
    torch.testing.assert_close(model(batch).hidden, model(batch, return_attention=True).hidden)


@every_model
def test_attention_maps_are_distributions_over_real_source_tokens(name, settings):
    batch = padded_batch()
    attention = make_model(name, **settings)(batch, return_attention=True).attention
    assert (attention is not None) == ALL[name][0].tiny(**settings).has_attention
    if attention is None:
        return
    assert attention.shape == (3, attention.shape[1], batch.target.max_length, batch.source.max_length)
    assert attention[1, :, :, 3:].max() < 1e-6
    assert attention.min() >= 0
    # the prefix of a source is attended to, and its columns are left out
    if settings.get("attention") != "sigmoid" and "source_prefix" not in settings:
        sums = attention.sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums))


@pytest.mark.parametrize("name", ALL)
def test_one_parameter_serves_all_tied_embeddings(name):
    model = make_model(name)
    assert model.source_embedding.tokens.weight is model.target_embedding.tokens.weight
    assert model(padded_batch()).weight is model.target_embedding.tokens.weight


@every_model
def test_bfloat16_logits_are_close(name, settings):
    model, batch = make_model(name, **settings).float(), padded_batch()
    with torch.no_grad():
        whole, expected = model(batch).hidden, model(batch).logits()[:, 0]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(batch).hidden
            logits, _ = model.step(batch.target.ids[:, 0], model.start(model.encode(batch.source)))
    for found, exact in ((half, whole), (logits, expected)):
        assert 0 < (found.float() - exact).norm() < 0.05 * exact.norm()


def test_an_architecture_must_name_its_adapter_targets():
    with pytest.raises(TypeError, match=r"Incomplete\.adapter_targets is missing: a tuple with the names of"):
        type("Incomplete", (Seq2Seq,), {})


@pytest.fixture
def documented_architecture(monkeypatch):
    """The example of docs/models.md in the table, as its author adds it."""
    monkeypatch.setitem(ARCHITECTURES, "bag", ALL["bag"])


@pytest.mark.usefixtures("documented_architecture")
@pytest.mark.parametrize("name", AUXILIARY_LOSSES)
def test_the_documented_architecture_learns_from_a_loss_or_the_loss_is_refused(name):
    config = TrainConfig(model=BAG.BagConfig.tiny(max_length=300), auxiliary={name: AUXILIARY_LOSSES[name][0].tiny()})
    config.run.max_steps = 20
    if AUXILIARY_LOSSES[name][0].NEEDS_ATTENTION:
        with pytest.raises(UserError, match=f"auxiliary={name} needs attention weights, and model.architecture=bag"):
            config.check()
        return
    model = build_model(config.model, Vocabularies(30, 30, shared=True))
    trained = parallelize(model, World(), ON_CPU)
    optimizer = make_optimizer(model, OptimizerConfig(learning_rate=1e-2))
    update = update_config(smoothing=0.0, **config.auxiliary)
    results = [
        train_step(trained, optimizer, [padded_batch()], update, World(), step=step).result() for step in range(1, 21)
    ]
    assert results[-1].loss < results[0].loss - 0.1


@pytest.mark.usefixtures("documented_architecture")
@pytest.mark.parametrize("method", ["lora", "adapter", "prefix"])
def test_documented_architecture_without_adapter_targets_is_refused(method):
    model = build_model(BAG.BagConfig.tiny(), Vocabularies(30, 30, shared=True))
    with pytest.raises(UserError, match=f"adapt={method} .*; try adapt="):
        adapt(model, ADAPTATIONS[method][0](method=method, model="bag"))


def test_adapters_follow_the_named_layers_of_any_architecture():
    class Wide(BAG.Bag):
        adapter_targets = ("outer",)

        def __init__(self, config, vocabularies):
            super().__init__(config, vocabularies)
            self.outer = torch.nn.Linear(config.d_model, config.d_model)

    model = Wide(BAG.BagConfig.tiny(), Vocabularies(30, 30, shared=True))
    adapt(model, AdapterConfig(model="bag"))
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == {
        f"outer.{part}.{kind}" for part in ("down", "up") for kind in ("weight", "bias")
    }


def test_scheduled_sampling_feeds_predictions_at_the_configured_ratio():
    model = make_model(
        "lstm", dropout=0.0, teacher_forcing_ratio=1.0, teacher_forcing_end=0.0, teacher_forcing_steps=10
    )
    ratios = []
    for step in (1, 6, 11, 50):
        model.set_training_step(step)
        ratios.append(model.teacher_forcing_ratio)
    assert ratios == [1.0, 0.5, 0.0, 0.0]
    own, batch = [torch.full((3,), BOS)], padded_batch()
    with torch.no_grad():
        state = model.start(model.encode(batch.source))
        for position in range(batch.target.max_length):
            logits, state = model.step(own[position], state)
            own.append(logits.argmax(-1))
        found = model.train()(batch)
    torch.testing.assert_close(found.logits()[:, -1], logits)


def choices():
    return sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml"))


@pytest.mark.parametrize("choice", choices())
def test_each_model_choice_builds_its_architecture_in_the_size_of_its_comment(choice):
    config = composed([f"model={choice}"]).model
    with torch.device("meta"):  # without memory for the weights
        model = build_model(config, Vocabularies(50, 50, shared=True))
    assert type(model) is ARCHITECTURES[config.architecture][1]
    assert model.projection.weight.shape == (50, config.d_model)
    comment = (CONFIGS / "model" / f"{choice}.yaml").read_text(encoding="utf-8").splitlines()[0]
    if size := re.search(r"(\d+)\+(\d+) .*width (\d+)", comment):
        assert [int(number) for number in size.groups()] == [
            config.encoder_layers,
            config.decoder_layers,
            config.d_model,
        ]


def reversal(count: int, seed: int) -> tuple[list[list[int]], list[list[int]]]:
    """Sentences of two to five digits, and the same backwards."""
    random = np.random.default_rng(seed)
    source = [random.integers(4, 14, random.integers(2, 6)).tolist() for _ in range(count)]
    return source, [sentence[::-1] for sentence in source]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_learns_to_reverse_digits(name):
    torch.manual_seed(0)
    model = build_model(ARCHITECTURES[name][0].tiny(d_model=64, dropout=0.0), Vocabularies(14, 14, shared=True))
    trained = parallelize(model, World(), ON_CPU)
    optimizer = make_optimizer(model, OptimizerConfig(learning_rate=3e-3))
    for number in range(150):
        batch = pad_batch(*(arrays(sentences) for sentences in reversal(64, seed=number)))
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (number + 1) / 50, (150 - number) / 75)
        train_step(trained, optimizer, [batch], update_config(smoothing=0.0), World(), step=1)
    source, target = reversal(100, seed=1000)
    engine = NativeEngine(model=model, device=torch.device("cpu"), precision=Precision.fp32, workers=1)
    found = engine.search([tuple(sentence) for sentence in source], SearchConfig(beam_size=3))
    right = [best.tokens == expected for [best], expected in zip(found, target, strict=True)]
    assert np.mean(right) >= 0.9
