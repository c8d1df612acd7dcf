"""A compiled model meets packed batches of many contents, but needs few graphs, and breaks none."""

import torch
import torch._dynamo
import torch.nn.functional as F

from translate.gpu_check.updates import example_batch
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.layers import Positions
from translate.models.transformer_config import Activation

VOCABULARY, BATCHES = 100, 30


def across_sentences(query, key, value, mask):
    """In place of the kernel for packed sentences: of its shape, and without reading the offsets on the host."""
    heads = (x.transpose(0, 1) for x in (query, key, value))
    return F.scaled_dot_product_attention(*heads).transpose(0, 1)


def test_thirty_batches_take_two_graphs_and_no_break(monkeypatch):
    monkeypatch.setattr("translate.models.attention.attend_packed_reference", across_sentences)
    kind = ARCHITECTURES["transformer"][0]
    config = kind.tiny(
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        max_length=128,
        dropout=0.1,
        positions=Positions.rotary,
        activation=Activation.swiglu,
    )
    model = build_model(config, Vocabularies(VOCABULARY, VOCABULARY, shared=True)).train()
    graphs, shapes = [], set()

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model.compile(backend=backend)
    for number in range(BATCHES):
        batch = example_batch(512, vocabulary=VOCABULARY, seed=number)
        shapes.add((len(batch.source.offsets), batch.source.max_length))
        model(batch).hidden.sum().backward()
    torch._dynamo.reset()
    assert len(shapes) > 1
    assert len(graphs) <= 2
    assert dict(torch._dynamo.utils.counters["graph_break"]) == {}
