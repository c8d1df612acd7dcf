"""Translators of models small enough to be worked out by hand."""

from __future__ import annotations

import torch

from fake_models import CharacterTokenizer, FakeModel, copy_model
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.decoding.translator import Translator

HOSTILE = [
    "",
    "  ",
    "one",
    "a\rb",
    "a\x85b",
    "a\u2028b",
    "\ufeffbom",
    "nul\x00byte",
    "\x00",
    "🙂 emoji",
    "\t",
    "x" * 700,
    "one",
    "Ein Satz. Noch einer! " * 20,
    "没有空格的长句子，" * 40 + "完。",
]


def translator_of(model: FakeModel, *, search: SearchConfig | None = None, **options) -> Translator:
    options = {"batch_tokens": 500, "workers": 1, **options}
    engine = NativeEngine(model=model, device=torch.device("cpu"), **options)
    return Translator(engine, CharacterTokenizer(), search or SearchConfig(beam_size=2))


def copier(**options) -> Translator:
    return translator_of(copy_model(vocabulary_size=80), **options)
