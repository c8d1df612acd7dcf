"""The Transformer against PyTorch's own, and packed sentences against padded ones."""

import numpy as np
import pytest
import torch
from torch import nn

from translate.batch import pack_batch, pad_batch
from translate.errors import UserError
from translate.models import Vocabularies, build_model
from translate.models.layers import Positions
from translate.models.transformer import Activation, NormOrder, Transformer, TransformerConfig

SOURCE = [[5, 6, 7, 8], [9, 10], [11, 12, 13, 14, 15, 16]]
TARGET = [[20, 21], [22, 23, 24, 25, 26], [27]]


def make_model(**settings) -> Transformer:
    torch.manual_seed(0)
    return build_model(TransformerConfig.tiny(**settings), Vocabularies(30, 30, shared=True)).eval()


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
    norms = [name for name in ("attention_norm", "cross_norm", "ffn_norm") if hasattr(ours, name)]
    for number, name in enumerate(norms, start=1):
        getattr(theirs, f"norm{number}").load_state_dict(getattr(ours, name).state_dict())


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


@pytest.mark.parametrize("norm_order", NormOrder)
@pytest.mark.parametrize("activation", [Activation.relu, Activation.gelu])
def test_transformer_equals_pytorch(norm_order, activation):
    model = make_model(norm_order=norm_order, activation=activation)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    twin = pytorch_twin(model, pre_norm=norm_order is NormOrder.pre, activation=str(activation))
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


PACKED = [settings for settings in [{}, *TransformerConfig.variants()] if TransformerConfig(**settings).reads_packed]


@pytest.mark.parametrize("settings", PACKED, ids=str)
def test_packed_batches_equal_padded_ones(settings):
    model, padded = make_model(**settings), padded_batch()
    packed = pack_batch(arrays(SOURCE), arrays(TARGET), tokens=24)
    with torch.no_grad():
        expected = model(padded).hidden[padded.target.mask]
        hidden = model(packed).hidden[: packed.num_target_tokens]
    torch.testing.assert_close(hidden, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(packed.labels[packed.labels >= 0], padded.labels[padded.labels >= 0])


def test_kv_cache_grows_beyond_its_initial_size():
    model = make_model(max_length=60)
    target = [list(range(4, 30)) * 2]
    batch = pad_batch(arrays(SOURCE[:1]), arrays(target))
    with torch.no_grad():
        expected = model(batch).logits()
        state = model.start(model.encode(batch.source))
        for position in range(batch.target.max_length):
            logits, state = model.step(batch.target.ids[:, position], state)
        torch.testing.assert_close(logits, expected[:, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_model": 18}, r"model.d_model \(18\) must be a multiple of model.num_heads \(4\)"),
        ({"dropout": 1.0}, r"model.dropout \(1.0\)"),
        ({"encoder_layers": 0}, r"model.encoder_layers \(0\)"),
        ({"num_heads": 16, "positions": Positions.rotary}, r"rotary: the width of a head \(1\) must be even"),
    ],
)
def test_inconsistent_sizes_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        make_model(**settings)


def test_tying_all_embeddings_needs_a_shared_vocabulary():
    with pytest.raises(UserError, match=r"tokenizer\.joint=true"):
        build_model(TransformerConfig(), Vocabularies(30, 40, shared=False))
