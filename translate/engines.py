"""A model directory, loaded for translating by the engine that a configuration names.

Each engine is imported where it is loaded: CTranslate2 needs no PyTorch, which takes longer to import than all the rest
of a start.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.data.corpus import one_or_several
from translate.data.languages import choose_direction, directions_of_manifest
from translate.decoding.config import DecodingConfig, Engine, EngineName
from translate.decoding.rescoring.reranking import Reranker, Scorer
from translate.decoding.translator import Translator
from translate.device import (
    Device,
    Precision,
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
    from translate.checkpoint import LoadedModel
    from translate.decoding.constraints.line_constraints import LineConstraints
    from translate.decoding.native_engine import NativeEngine
    from translate.decoding.translation_memory import MemoryMatcher
    from translate.exporting.ctranslate2_engine import CTranslate2Engine
    from translate.exporting.onnx_engine import OnnxEngine
    from translate.models.seq2seq import Seq2Seq

logger = logging.getLogger(__name__)


def load_translator(path: str | Sequence[str], config: DecodingConfig, *, as_validated: bool = False) -> Translator:
    """Load the model in a model directory, or in best/ of a run's folder, in a process tuned for its engine.

    path          of several models, which decode together (models/ensemble.py), a list
    as_validated  source lines get the tag of the run's validation set, unless the configuration names another

    Raises UserError where it cannot be used, or has no such tag or target language.
    """
    paths = one_or_several(path, key="model")
    if not all(paths):
        raise UserError("model is empty: name a run's folder or a model directory")
    engine, tokenizer, manifest = open_engine(paths, config)
    return make_translator(
        paths,
        engine,
        tokenizer,
        manifest,
        config,
        as_validated=as_validated,
        constraints=load_constraints(config, tokenizer, manifest, max_length=engine.max_length),
    )


def open_engine(paths: list[str], config: DecodingConfig) -> tuple[Engine, Tokenizer, dict[str, Any]]:
    """Load a model, or several that decode together; the engine, its tokenizer and its manifest."""
    return ENGINES[config.engine](paths, config)


def make_translator(
    paths: Sequence[str],
    engine: Engine,
    tokenizer: Tokenizer,
    manifest: dict[str, Any],
    config: DecodingConfig,
    *,
    as_validated: bool = False,
    constraints: LineConstraints | None = None,
) -> Translator:
    """A translator by an engine that open_engine has loaded; one engine may have several, of different options."""
    directions, requested = directions_of_manifest(manifest), config.tag
    if config.target_language or config.tag:
        manifest = choose_direction(manifest, target_language=config.target_language, tag=config.tag)
        requested = config.tag or (manifest["tag"] if directions else "")
    if config.rerank.models:
        engine = Reranker(engine, tokenizer, load_scorers(config, manifest), config.rerank)
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
        truecaser=read_truecaser(Path(paths[0])),
        max_source_length=config.max_source_length,
        constraints=constraints,
        memory=load_memory(config, tokenizer, manifest),
    )


def load_constraints(
    config: DecodingConfig, tokenizer: Tokenizer, manifest: Mapping[str, Any], *, max_length: int
) -> LineConstraints | None:
    """Constraints on translations; None without such options."""
    if not config.constraints.is_given:
        return None
    from translate.decoding.constraints.line_constraints import LineConstraints

    if config.memory.paths and config.memory.exact:
        logger.warning(
            "constraints hold for what the model writes: lines that the memory has are translated by it as they are "
            "(memory.exact=false: by the model)"
        )
    return LineConstraints(config.constraints, tokenizer, manifest, max_length=max_length)


def load_memory(config: DecodingConfig, tokenizer: Tokenizer, manifest: Mapping[str, Any]) -> MemoryMatcher | None:
    """The translation memory; None without one."""
    if not config.memory.paths:
        return None
    from translate.decoding.translation_memory import MemoryMatcher

    return MemoryMatcher.of_model(config.memory, manifest, tokenizer.user_symbols)


def load_native(paths: list[str], config: DecodingConfig) -> tuple[NativeEngine, Tokenizer, dict[str, Any]]:
    """Load one model, or several as an ensemble, into the engine of this package; the engine, tokenizer and manifest.

    The manifest of an ensemble is that of its first model: it decides how lines are read and written.
    """
    if len(paths) > 1 and config.adapter:
        raise UserError(f"adapter={config.adapter} belongs to one model, and model= names {len(paths)}: merge it first")
    # before PyTorch allocates and chooses kernels
    tune_process(config.threads)
    from translate.checkpoint import load_model, with_adapter
    from translate.decoding.native_engine import NativeEngine

    device = choose_device(config.device)
    if warning := unused_gpu(config.device):
        logger.warning(warning)
    loaded = [load_model(path, device=device) for path in paths]
    if config.adapter:
        loaded = [with_adapter(loaded[0], config.adapter)]
    engine = NativeEngine(
        model=loaded[0].model if len(loaded) == 1 else combine(loaded),
        device=device,
        batch_tokens=config.batch_tokens,
        batch_sentences=config.batch_sentences,
        precision=config.precision,
        workers=config.workers,
        graphs=config.graphs,
    )
    return engine, loaded[0].tokenizer, loaded[0].manifest


# entries of a manifest that decide what a line means to a model
_OF_THE_TEXT = ("source_language", "target_language", "directions", "tags", "text_form", "context", "reverse_target")


def combine(loaded: Sequence[LoadedModel]) -> Seq2Seq:
    """An ensemble of several models. Raises UserError where one has another vocabulary or reads other text."""
    from translate.models.ensemble import Ensemble

    first, *others = loaded
    for other in others:
        if other.tokenizer.hash != first.tokenizer.hash:
            raise UserError(
                f"model={other.directory} has another vocabulary than {first.directory}: an ensemble needs models of "
                "one vocabulary (train with tokenizer.path= of the first)"
            )
        for name in _OF_THE_TEXT:
            if (found := other.manifest.get(name)) != (wanted := first.manifest.get(name)):
                raise UserError(
                    f"model={other.directory}: {name} is {found!r} in its manifest, and {wanted!r} in that of "
                    f"{first.directory}: models of an ensemble read and write the same text"
                )
    return Ensemble([each.model for each in loaded])


def load_scorers(config: DecodingConfig, manifest: Mapping[str, Any]) -> list[Scorer]:
    """The models that rerank the hypotheses of a model with this manifest. Raises UserError for unsuitable ones."""
    source, target = manifest.get("source_language", ""), manifest.get("target_language", "")
    directions = {"reverse": (target, source), "right_to_left": (source, target), "language_model": ("", target)}
    scorers = []
    for role, path in config.rerank.models.items():
        try:
            scorers.append(load_scorer(role, path, config, languages=directions[role]))
        except UserError as error:
            raise UserError(f"rerank.{role}={path}: {error}") from None
    return scorers


def load_scorer(role: str, path: str, config: DecodingConfig, *, languages: tuple[str, str]) -> Scorer:
    """A model that reranks, with the tag of its direction. Raises UserError for other languages than these."""
    # scorers run on our engine, whose int8 not every machine has; adapters belong to the model that translates
    precision = Precision.auto if config.precision is Precision.int8 else config.precision
    engine, tokenizer, manifest = load_native([path], replace(config, adapter="", precision=precision))
    directions = directions_of_manifest(manifest)
    manifest = choose_direction(manifest, target_language=languages[1], tag="")
    found = manifest.get("source_language", ""), manifest.get("target_language", "")
    if any(own and other and own != other for own, other in zip(found, languages, strict=True)):
        wanted = " → ".join(language or "any language" for language in languages)
        raise UserError(f"it translates {' → '.join(found)}, and {wanted} is wanted")
    if tokenizer.reverse_target != (role == "right_to_left"):
        wanted = str(role == "right_to_left").lower()
        raise UserError(f"it must have been trained with data.reverse_target={wanted}")
    requested = manifest.get("tag", "") if directions and languages[1] else ""
    tagging = tagging_of(manifest, tokenizer, requested=requested)
    return Scorer(role, engine, tokenizer, tagging, has_context=bool(manifest.get("context")))


def load_ctranslate2(paths: list[str], config: DecodingConfig) -> tuple[CTranslate2Engine, Tokenizer, dict[str, Any]]:
    """Load a model into CTranslate2, converting it if need be; the engine, its tokenizer and its manifest."""
    if len(paths) > 1:
        raise UserError(f"model={paths}: CTranslate2 decodes with one model; use engine=native for several")
    if config.adapter:
        raise UserError(
            f"adapter={config.adapter}: CTranslate2 runs no adapters; use engine=native, or merge a LoRA into its "
            "model (python -m translate.merge)"
        )
    # not tune_process(): its settings are PyTorch's, which is not imported here
    keep_memory()
    from translate.exporting.ctranslate2_engine import CTranslate2Engine
    from translate.exporting.ctranslate2_model import converted_model

    converted = converted_model(Path(paths[0]))
    engine = CTranslate2Engine(
        converted,
        threads=config.threads or _available_threads(),
        workers=config.workers,
        batch_tokens=config.batch_tokens,
        batch_sentences=config.batch_sentences,
        precision=config.precision,
        device=config.device,
    )
    return engine, converted.tokenizer, converted.manifest


def load_onnx(paths: list[str], config: DecodingConfig) -> tuple[OnnxEngine, Tokenizer, dict[str, Any]]:
    """Load the graphs that translate.export has written, for the CPU; the engine, its tokenizer and its manifest."""
    if len(paths) > 1:
        raise UserError(f"model={paths}: engine=onnx decodes with one model; use engine=native for several")
    if config.adapter:
        raise UserError(f"adapter={config.adapter}: ONNX graphs take no adapters; merge it before the export")
    if config.device is Device.cuda:
        raise UserError("device=cuda: engine=onnx runs on the CPU; use device=cpu or another engine")
    tune_process(config.threads)
    from translate.exporting.onnx_engine import OnnxEngine, open_onnx

    model, tokenizer, manifest = open_onnx(Path(paths[0]), threads=config.threads or _available_threads())
    engine = OnnxEngine(model=model, batch_tokens=config.batch_tokens, batch_sentences=config.batch_sentences)
    if config.precision not in (Precision.auto, engine.precision):
        raise UserError(f"precision={config.precision}: these graphs were exported in {engine.precision}")
    return engine, tokenizer, manifest


ENGINES: dict[EngineName, Callable[[list[str], DecodingConfig], tuple[Engine, Tokenizer, dict[str, Any]]]] = {
    EngineName.native: load_native,
    EngineName.ctranslate2: load_ctranslate2,
    EngineName.onnx: load_onnx,
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


def _available_threads() -> int:
    """Number of threads: OMP_NUM_THREADS, or one for every core that this process may use."""
    wished = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wished.isdigit() and int(wished):
        return int(wished)
    # containers and taskset allow fewer cores than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
