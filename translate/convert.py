"""python -m translate.convert: convert a published model into a model directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from translate.checkpoint import load_model, read_config, save_model, weights_of
from translate.config import run_command
from translate.errors import UserError
from translate.folders import check_replaceable
from translate.importing.huggingface import local_model
from translate.importing.languages import with_languages
from translate.model_directory import MANIFEST, MODEL, MODEL_FILES, WEIGHTS, read_manifest


@dataclass(kw_only=True)
class ConvertConfig:
    """Convert a Marian (OPUS-MT), M2M100 or NLLB model in the format of transformers into a model directory.

    Example: python -m translate.convert model=Helsinki-NLP/opus-mt-en-de output=models/opus-en-de

    model            a folder, or REPOSITORY/NAME of the Hugging Face hub, with @REVISION
    output           the new model directory
    source_language, target_language  the direction of a model of many languages (M2M100, NLLB): en, isl_Latn
    """

    model: str = "???"
    output: str = "???"
    source_language: str = ""
    target_language: str = ""


def convert(config: ConvertConfig) -> None:
    """Write a published model as a model directory, for one direction if it has many languages.

    Raises UserError for a model that cannot be converted, and for an output folder that is not an earlier conversion.
    """
    output = Path(config.output)
    check_replaceable(output, complete=[WEIGHTS, MODEL, MANIFEST], owned=MODEL_FILES)
    source = local_model(config.model)
    loaded = load_model(source, device=torch.device("cpu"))
    if not _is_conversion(loaded.manifest):
        raise UserError(f"model={config.model} is a model directory of this program: nothing to convert")
    # a model that was trained here has the same files as a conversion, and cannot be downloaded again
    if (output / MANIFEST).exists() and not _is_conversion(read_manifest(output)):
        raise UserError(f"output={config.output}: this folder holds a model that was trained here; name a new folder")
    languages = {"source_language": config.source_language, "target_language": config.target_language}
    save_model(
        output,
        weights=weights_of(loaded.model),
        config=with_languages(read_config(source / MODEL), loaded.manifest, list(languages.values()), group=""),
        tokenizer=loaded.tokenizer,
        manifest={**loaded.manifest, **{key: language for key, language in languages.items() if language}},
    )
    print(f"model: {config.output}")


def _is_conversion(manifest: Mapping[str, Any]) -> bool:
    """True for a model as it was published; one that was trained further names its step as well."""
    return "imported" in manifest and "step" not in manifest


if __name__ == "__main__":
    run_command("convert", ConvertConfig, convert)
