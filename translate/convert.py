"""python -m translate.convert: convert a published model into a model directory."""

from dataclasses import dataclass
from pathlib import Path

from translate.config import run_command
from translate.importing.base_model import convert_model


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
    convert_model(config.model, Path(config.output), languages=(config.source_language, config.target_language))
    print(f"model: {config.output}")


if __name__ == "__main__":
    run_command("convert", ConvertConfig, convert)
