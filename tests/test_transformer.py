"""The Transformer against PyTorch's own, and its three ways of computing against each other."""

import numpy as np
import pytest
import torch
from torch import nn

from translate.batch import Tokens
from translate.data.loader import pack_batch, pad_batch
from translate.errors import UserError
from translate.models import Vocabularies, build_model
from translate.models.seq2seq import State
from translate.models.transformer import Transformer, TransformerConfig

SOURCE = [[5, 6, 7, 8], [9, 10], [11, 12, 13, 14, 15, 16]]
TARGET = [[20, 21], [22, 23, 24, 25, 26], [27]]


def make_model(**settings) -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(d_model=16, ffn_dim=32, num_heads=4, encoder_layers=2, decoder_layers=3, max_length=12)
    for name, value in settings.items():
        setattr(config, name, type(getattr(config, name))(value))
    return build_model(config, Vocabularies(30, 30, shared=True)).eval()


def arrays(sentences):
    return [np.array(sentence) for sentence in sentences]


def padded_batch():
    return pad_batch(arrays(SOURCE), arrays(TARGET))


def copy_attention(theirs: nn.MultiheadAttention, ours) -> None:
    projections = [getattr(ours, name) for name in ("query_key_value", "query", "key_value") if hasattr(ours, name)]
    theirs.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
    theirs.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())


def copy_layer(theirs, ours) -> None:
    copy_attention(theirs.self_attn, ours.self_attention)
    if hasattr(theirs, "multihead_attn"):
        copy_attention(theirs.multihead_attn, ours.cross_attention)
    theirs.linear1.load_state_dict(ours.feed_forward.inner.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.outer.state_dict())
    residuals = [child for name, child in ours.named_children() if name.startswith("around_")]
    for number, residual in enumerate(residuals, start=1):
        getattr(theirs, f"norm{number}").load_state_dict(residual.norm.state_dict())


def pytorch_twin(model: Transformer, *, pre_norm: bool, activation: str) -> nn.Transformer:
    """PyTorch's Transformer with the same weights (it adds final norms, which post-norm layers do without)."""
    options = {"dropout": 0.0, "batch_first": True, "norm_first": pre_norm, "activation": activation}
    encoder_layer = nn.TransformerEncoderLayer(16, 4, 32, **options)
    decoder_layer = nn.TransformerDecoderLayer(16, 4, 32, **options)
    norms = [nn.LayerNorm(16), nn.LayerNorm(16)] if pre_norm else [None, None]
    twin = nn.Transformer(
        16,
        4,
        batch_first=True,
        custom_encoder=nn.TransformerEncoder(encoder_layer, 2, norm=norms[0], enable_nested_tensor=False),
        custom_decoder=nn.TransformerDecoder(decoder_layer, 3, norm=norms[1]),
    ).eval()
    with torch.no_grad():
        for side in ("encoder", "decoder"):
            theirs, ours = getattr(twin, side), getattr(model, side)
            for pair in zip(theirs.layers, ours.layers, strict=True):
                copy_layer(*pair)
            if pre_norm:
                theirs.norm.load_state_dict(ours.norm.state_dict())
    return twin


@pytest.mark.parametrize("norm_order", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_it_equals_pytorchs_own_transformer(norm_order, activation):
    model = make_model(norm_order=norm_order, activation=activation)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    twin = pytorch_twin(model, pre_norm=norm_order == "pre", activation=activation)
    batch = padded_batch()
    expected = twin(
        model.source_embedding(batch.source.ids, batch.source.positions),
        model.target_embedding(batch.target.ids, batch.target.positions),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(batch.target.max_length),
        src_key_padding_mask=~batch.source.mask,
        tgt_key_padding_mask=~batch.target.mask,
        memory_key_padding_mask=~batch.source.mask,
        tgt_is_causal=False,
    )
    hidden = model(batch).hidden
    torch.testing.assert_close(hidden[batch.target.mask], expected[batch.target.mask], rtol=1e-4, atol=1e-5)


VARIANTS = [
    {},
    {"norm_order": "post"},
    {"norm": "rms_norm", "activation": "swiglu"},
    {"positions": "learned", "activation": "gelu"},
    {"tying": "target"},
    {"tying": "none"},
]


@pytest.mark.parametrize("settings", VARIANTS)
def test_step_by_step_it_says_what_it_says_teacher_forced(settings):
    model, batch = make_model(**settings), padded_batch()
    with torch.no_grad():
        expected = model(batch).logits()
        state = model.start(model.encode(batch.source))
        for place in range(batch.target.max_length):
            logits, state = model.step(batch.target.ids[:, place], state)
            real = batch.target.mask[:, place]
            torch.testing.assert_close(logits[real], expected[real, place], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", VARIANTS)
def test_packed_sentences_give_what_padded_ones_give(settings):
    model, padded = make_model(**settings), padded_batch()
    packed = pack_batch(arrays(SOURCE), arrays(TARGET), tokens=24)
    with torch.no_grad():
        expected = model(padded).hidden[padded.target.mask]
        hidden = model(packed).hidden[: packed.num_target_tokens]
    torch.testing.assert_close(hidden, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(packed.labels[packed.labels >= 0], padded.labels[padded.labels >= 0])


def test_padding_changes_nothing():
    model = make_model()
    alone = pad_batch(arrays(SOURCE[1:2]), arrays(TARGET[1:2]))
    with torch.no_grad():
        torch.testing.assert_close(model(padded_batch()).hidden[1], model(alone).hidden[0], rtol=1e-4, atol=1e-5)


def test_later_target_tokens_are_invisible():
    model = make_model()
    changed = [[20, 21], [22, 23, 29, 29, 29], [27]]
    with torch.no_grad():
        first, second = (model(pad_batch(arrays(SOURCE), arrays(target))).hidden for target in (TARGET, changed))
    assert torch.equal(first[1, :3], second[1, :3])
    assert not torch.equal(first[1, 3], second[1, 3])


def step_alone(model: Transformer, sentence: list[int], tokens: list[int]) -> torch.Tensor:
    """Logits after one hypothesis of one sentence has read these tokens."""
    with torch.no_grad():
        state = model.start(model.encode(Tokens.pad([[*sentence, 3]])))
        for token in tokens:
            logits, state = model.step(torch.tensor([token]), state)
    return logits[0]


@torch.no_grad()
def begun(model: Transformer, sentences: list[list[int]], *, steps: int) -> State:
    """Two hypotheses of each sentence that have read BOS so many times: as one, until then."""
    state = model.start(model.encode(Tokens.pad([[*sentence, 3] for sentence in sentences])))
    for _ in range(steps):
        _, state = model.step(torch.full((len(sentences),), 2), state)
    return state.reorder(torch.zeros(len(sentences), 2, dtype=torch.long))


def test_hypotheses_go_on_as_if_they_had_always_stood_there():
    """Two of each sentence: reordered; sentences leave, join, take others' places; and all that again."""
    random = np.random.default_rng(1)
    model = make_model(max_length=60)
    sentences = [random.integers(4, 30, random.integers(1, 9)).tolist() for _ in range(60)]
    waiting = list(range(60))
    histories: dict[int, list[list[int]]] = {}
    state = None
    for step in range(60):
        if step % 3 == 0 and waiting:
            new, waiting = waiting[:3], waiting[3:]
            fresh = begun(model, [sentences[i] for i in new], steps=step % 2)
            state = fresh if state is None else state.join(fresh)
            histories.update({i: [[2] * (step % 2) for _ in range(2)] for i in new})
        tokens = torch.from_numpy(random.integers(4, 30, 2 * len(histories)))
        with torch.no_grad():
            logits, state = model.step(tokens, state)
        for row, token in enumerate(tokens.tolist()):
            list(histories.values())[row // 2][row % 2].append(token)
        for row in random.integers(0, len(logits), 2).tolist():
            sentence, history = list(histories.items())[row // 2]
            expected = step_alone(model, sentences[sentence], history[row % 2])
            torch.testing.assert_close(logits[row], expected, rtol=1e-4, atol=1e-5)
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
            state = state.keep(torch.tensor(rows))
            histories = {i: h for row, (i, h) in enumerate(histories.items()) if row in rows}


def test_the_cache_grows_past_its_first_room():
    model = make_model(max_length=60)
    target = [list(range(4, 30)) * 2]
    batch = pad_batch(arrays(SOURCE[:1]), arrays(target))
    with torch.no_grad():
        expected = model(batch).logits()
        state = model.start(model.encode(batch.source))
        for place in range(batch.target.max_length):
            logits, state = model.step(batch.target.ids[:, place], state)
        torch.testing.assert_close(logits, expected[:, -1], rtol=1e-4, atol=1e-5)


def test_attention_maps_are_distributions_over_real_source_tokens():
    batch = padded_batch()
    attention = make_model()(batch, return_attention=True).attention
    assert attention.shape == (3, 4, batch.target.max_length, batch.source.max_length)
    torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:-1]))
    assert attention[1, :, :, 3:].max() < 1e-6


def test_asking_for_attention_changes_nothing_else():
    model, batch = make_model(), padded_batch()
    assert torch.equal(model(batch).hidden, model(batch, return_attention=True).hidden)


def test_one_parameter_serves_all_tied_embeddings():
    model = make_model()
    assert model.source_embedding.tokens.weight is model.target_embedding.tokens.weight
    assert model(padded_batch()).weight is model.target_embedding.tokens.weight


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_model": 18}, r"model.d_model \(18\) must be a multiple of model.num_heads \(4\)"),
        ({"dropout": 1.0}, r"model.dropout \(1.0\)"),
        ({"encoder_layers": 0}, r"model.encoder_layers \(0\)"),
    ],
)
def test_sizes_that_do_not_fit_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        make_model(**settings)


def test_tying_everything_needs_one_vocabulary():
    with pytest.raises(UserError, match=r"tokenizer\.joint=true"):
        build_model(TransformerConfig(), Vocabularies(30, 40, shared=False))
