"""A model of a few thousand weights for every architecture and each of its options, that of the documentation too."""

from __future__ import annotations

import torch

from documented_code import example_of
from translate.models import ARCHITECTURES, Vocabularies
from translate.models.seq2seq import Seq2Seq

BAG = example_of("models.md")
ALL = ARCHITECTURES | {"bag": (BAG.BagConfig, BAG.Bag)}
MODELS = [(name, settings) for name in ALL for settings in ({}, *ALL[name][0].variants())]


def make_model(name: str, **settings: object) -> Seq2Seq:
    """Make a model for decoding; in double precision, so that rounding hides no difference."""
    torch.manual_seed(0)
    config, model = ALL[name][0].tiny(**settings), ALL[name][1]
    return model(config, Vocabularies(30, 30, shared=True)).double().eval()
