"""A model directory, loaded for translating by the engine that a configuration names.

Each engine is imported where it is loaded: CTranslate2 needs no PyTorch, which takes longer to import than all the rest
of a start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.data.languages import choose_direction, directions_of_manifest
from translate.decoding.config import DecodingConfig, Engine, EngineName
from translate.decoding.translator import Translator
from translate.device import (
    Device,
    Precision,
    available_threads,
    capabilities,
    choose_device,
    decoding_precision,
    tune_process,
    unused_gpu,
)
from translate.errors import UserError
from translate.memory import keep_memory
from translate.model_directory import read_truecaser
from translate.tags import tagging_of
from translate.tokenizer import Tokenizer

if TYPE_CHECKING:
    from translate.decoding.line_constraints import LineConstraints
    from translate.decoding.native_engine import NativeEngine
    from translate.decoding.translation_memory import MemoryUse
    from translate.exporting.ctranslate2_engine import CTranslate2Engine

logger = logging.getLogger(__name__)


def load_translator(path: str, config: DecodingConfig, *, as_validated: bool = False) -> Translator:
    """Load the model in a model directory, or in best/ of a run's folder, in a process tuned for its engine.

    as_validated  source lines get the tag of the run's validation set, unless the configuration names another

    Raises UserError where it cannot be used, or has no such tag or target language.
    """
    engine, tokenizer, manifest = ENGINES[config.engine](path, config)
    directions, requested = directions_of_manifest(manifest), config.tag
    if config.target_language or config.tag:
        manifest = choose_direction(manifest, target_language=config.target_language, tag=config.tag)
        requested = config.tag or (manifest["tag"] if directions else "")
    return Translator.of_model(
        engine,
        tokenizer,
        config.search,
        manifest,
        tagging=tagging_of(
            manifest,
            tokenizer,
            requested=requested,
            as_validated=as_validated,
            languages=tuple(dict.fromkeys(each.target_language for each in directions)),
        ),
        split=config.split,
        case=config.case,
        truecaser=read_truecaser(Path(path)),
        max_source_length=config.max_source_length,
        constraints=load_constraints(config, tokenizer, manifest),
        memory=load_memory(config, tokenizer, manifest),
    )


def load_constraints(
    config: DecodingConfig, tokenizer: Tokenizer, manifest: Mapping[str, Any]
) -> LineConstraints | None:
    """What translations must and must not contain; None without such options."""
    if not config.constraints.is_given:
        return None
    from translate.decoding.line_constraints import LineConstraints

    return LineConstraints(config.constraints, tokenizer, manifest)


def load_memory(config: DecodingConfig, tokenizer: Tokenizer, manifest: Mapping[str, Any]) -> MemoryUse | None:
    """The translation memory; None without one."""
    if not config.memory.paths:
        return None
    from translate.decoding.translation_memory import MemoryUse

    return MemoryUse.of_model(config.memory, manifest, tokenizer.user_symbols)


def load_native(path: str, config: DecodingConfig) -> tuple[NativeEngine, Tokenizer, dict[str, Any]]:
    """Load a model into the engine of this package; the engine, its tokenizer and its manifest."""
    # before PyTorch allocates and chooses kernels
    tune_process(config.threads)
    from translate.checkpoint import load_model
    from translate.decoding.native_engine import NativeEngine

    device = choose_device(config.device)
    if warning := unused_gpu(config.device):
        logger.warning(warning)
    loaded = load_model(path, device=device)
    if config.adapter:
        from translate.checkpoint import with_adapter

        loaded = with_adapter(loaded, config.adapter)
    engine = NativeEngine(
        model=loaded.model,
        device=device,
        batch_tokens=config.batch_tokens,
        batch_sentences=config.batch_sentences,
        precision=config.precision,
        workers=config.workers,
    )
    return engine, loaded.tokenizer, loaded.manifest


def load_ctranslate2(path: str, config: DecodingConfig) -> tuple[CTranslate2Engine, Tokenizer, dict[str, Any]]:
    """Load a model into CTranslate2, converting it if need be; the engine, its tokenizer and its manifest."""
    if config.adapter:
        raise UserError(
            f"adapter={config.adapter}: CTranslate2 runs no adapters; use engine=native, or merge a LoRA into its "
            "model (python -m translate.merge)"
        )
    # not tune_process(): its settings are PyTorch's, which is not imported here
    keep_memory()
    from translate.exporting.ctranslate2_engine import CTranslate2Engine
    from translate.exporting.ctranslate2_model import converted_model

    converted = converted_model(Path(path))
    engine = CTranslate2Engine(
        converted,
        threads=config.threads or available_threads(),
        workers=config.workers,
        batch_tokens=config.batch_tokens,
        batch_sentences=config.batch_sentences,
        precision=config.precision,
        device=config.device,
    )
    return engine, converted.tokenizer, converted.manifest


ENGINES: dict[EngineName, Callable[[str, DecodingConfig], tuple[Engine, Tokenizer, dict[str, Any]]]] = {
    EngineName.native: load_native,
    EngineName.ctranslate2: load_ctranslate2,
}


def can_decode_in(precision: Precision, device: Device) -> bool:
    """True if engine=native supports a precision on this device without slow emulation."""
    can = capabilities(choose_device(device))
    try:
        decoding_precision(precision, can)
    except UserError:
        return False
    # a CPU without instructions for bf16 emulates it
    return precision is not Precision.bf16 or can.bf16_matmul
