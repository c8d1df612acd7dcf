"""A model directory, opened for translating by the engine that a configuration names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from translate.checkpoint import load_model
from translate.decoding.engine import choose_device
from translate.decoding.native import NativeEngine
from translate.decoding.translator import DecodingConfig, Translator


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model ready to translate, and what its manifest says of it."""

    translator: Translator
    manifest: dict[str, Any]


def open_model(path: str, config: DecodingConfig) -> OpenedModel:
    """The model in a model directory, or in best/ of a run's folder. Raises UserError where it cannot be used."""
    device = choose_device(config.device)
    loaded = load_model(path, device=device)
    engine = NativeEngine(
        model=loaded.model,
        device=device,
        batch_tokens=config.batch_tokens,
        batch_sentences=config.batch_sentences,
        precision=config.precision,
        workers=config.workers,
    )
    translator = Translator(engine, loaded.tokenizer, config.search, max_source_length=config.max_source_length)
    return OpenedModel(translator, loaded.manifest)
