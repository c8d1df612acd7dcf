"""Architectures behind one contract, from token batches to hidden states.

    seq2seq.py        the contract: the interface that training, losses and search use; its docstrings tell authors of
                      an architecture all that they need
    layers.py         embeddings, positions, dropout
    attention.py      multi-head attention; only this file and packed_attention.py depend on the layout of a batch
    transformer.py    the Transformer, with kv_cache.py, its state in decoding
    recurrent.py      LSTMs, with recurrent_attention.py
    convolutional.py  gated convolutions

`forward` reads a `Batch` and returns hidden states and the weight of the output layer, from which losses compute logits
in pieces. To translate, search encodes a batch of source sentences once (`encode`), makes a state of empty hypotheses
(`start`), and then reads one token of each hypothesis at a time (`step`). A state can reorder its hypotheses, and
sentences can join and leave it (`BatchedState`).
"""

from __future__ import annotations

from typing import Any

from translate.errors import UserError
from translate.models.convolutional import Convolutional, ConvolutionalConfig
from translate.models.recurrent import Recurrent, RecurrentConfig
from translate.models.seq2seq import ModelConfig, Seq2Seq, Vocabularies, check_tying
from translate.models.transformer import Transformer, TransformerConfig

__all__ = ["ARCHITECTURES", "ModelConfig", "TransformerConfig", "Vocabularies", "build_model"]

# name -> (configuration, implementation)
ARCHITECTURES: dict[str, tuple[type[ModelConfig], type[Any]]] = {
    "transformer": (TransformerConfig, Transformer),
    "lstm": (RecurrentConfig, Recurrent),
    "convolutional": (ConvolutionalConfig, Convolutional),
}


def build_model(config: ModelConfig, vocabularies: Vocabularies) -> Seq2Seq:
    """Build a freshly initialised model.

    Raises UserError for an unknown architecture and for invalid settings.
    """
    if config.architecture not in ARCHITECTURES:
        raise UserError(f"model.architecture={config.architecture} is none of {', '.join(ARCHITECTURES)}")
    config.check()
    check_tying(config, shared=vocabularies.shared)
    model: Seq2Seq = ARCHITECTURES[config.architecture][1](config, vocabularies)
    return model
