"""Packages of Argos Translate, which LibreTranslate installs as well: a CTranslate2 model in a zip archive.

NAME.argosmodel holds one folder: metadata.json, README.md, sentencepiece.model and model/, what CTranslate2 reads.
There is no model for sentence boundaries in it: Argos downloads its own, on first use.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from translate.checkpoint import LoadedModel
from translate.checksums import CHECKSUMS
from translate.data.formats.language_names import english_name
from translate.data.languages import directions_of_manifest
from translate.decoding.config import SearchConfig
from translate.errors import UserError
from translate.exporting.ctranslate2_converter import export_ctranslate2
from translate.files import json_text
from translate.folders import check_replaceable, replaced_directory
from translate.model_directory import EXPORT_REPORT, RUNTIME_MODEL, import_ctranslate2
from translate.tokenizer import TOKENIZER_FILES

SUFFIX = ".argosmodel"
ARGOS_FILES = (f"*{SUFFIX}", EXPORT_REPORT)
_VERSION = "1.0"  # of the package
_ARGOS_VERSION = "1.9"  # the oldest that the package is for
_SENTENCEPIECE = "sentencepiece.model"


def export_argos(
    loaded: LoadedModel,
    directory: Path,
    *,
    quantization: str | None = None,
    source_language: str = "",
    target_language: str = "",
) -> None:
    """Write a folder with translate-SOURCE_TARGET.argosmodel.

    quantization  one of CTranslate2's names; None keeps fp32
    source_language, target_language  ISO 639-1 codes; "": the model's

    Raises UserError for a model that the package cannot express, and for a folder that holds anything but an earlier
    export.
    """
    # packages of others have no checksums beside them
    check_replaceable(directory, complete=[CHECKSUMS], owned=ARGOS_FILES)
    source, target = _languages(loaded, source_language, target_language)
    _check(loaded)
    name = f"translate-{source}_{target}"
    with (
        tempfile.TemporaryDirectory(prefix="argos-") as temporary,
        replaced_directory(directory, owned=ARGOS_FILES) as new,
    ):
        model = Path(temporary) / "model"
        export_ctranslate2(loaded, model, quantization=quantization)
        root = f"{name}-{_VERSION.replace('.', '_')}"
        with zipfile.ZipFile(new / f"{name}{SUFFIX}", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{root}/metadata.json", json_text(_metadata(source, target)))
            archive.writestr(f"{root}/README.md", _readme(source, target, loaded.manifest))
            archive.write(loaded.directory / _source_tokenizer(loaded), f"{root}/{_SENTENCEPIECE}")
            for path in sorted(model.iterdir()):
                # without our manifest and tokenizers, which Argos would not read
                if path.name in (RUNTIME_MODEL, "config.json") or "vocabulary" in path.name:
                    archive.write(path, f"{root}/model/{path.name}")


def translate_like_argos(package: Path, lines: Sequence[str], search: SearchConfig, *, threads: int = 0) -> list[str]:
    """Translations of lines by a package as Argos Translate makes them, each line taken as one sentence."""
    import sentencepiece

    ctranslate2 = import_ctranslate2()
    with tempfile.TemporaryDirectory(prefix="argos-") as temporary:
        with zipfile.ZipFile(package) as archive:
            archive.extractall(temporary)
        [root] = Path(temporary).iterdir()
        processor = sentencepiece.SentencePieceProcessor(model_file=str(root / _SENTENCEPIECE))
        translator = ctranslate2.Translator(str(root / "model"), intra_threads=threads)
        results = translator.translate_batch(
            [processor.encode(line, out_type=str) for line in lines],
            replace_unknowns=True,
            max_batch_size=32,
            beam_size=search.beam_size,
            length_penalty=search.length_penalty,
        )
    # what Argos does to the pieces, "_" included
    decoded = (processor.decode_pieces(result.hypotheses[0]) for result in results)
    return [text.replace("▁", " ").replace("_", " ").removeprefix(" ") for text in decoded]


def package_in(directory: Path) -> Path:
    """The package in a folder of export_argos."""
    # one: the export replaces the folder as a whole
    [package] = directory.glob(f"*{SUFFIX}")
    return package


def _languages(loaded: LoadedModel, source_language: str, target_language: str) -> tuple[str, str]:
    found = []
    for side, given in (("source", source_language), ("target", target_language)):
        code = (given or str(loaded.manifest.get(f"{side}_language", ""))).lower()
        if not (code.isascii() and code.isalpha() and len(code) in (2, 3)):
            raise UserError(
                f"{side}_language ({code or 'not known'}): an Argos package names its languages by codes: set "
                f"{side}_language=…, such as en"
            )
        found.append(code)
    return found[0], found[1]


def _check(loaded: LoadedModel) -> None:
    if directions_of_manifest(loaded.manifest):
        raise UserError("a model of several target languages: an Argos package translates in one direction only")
    tags = loaded.manifest.get("tags", [])
    # a model with optional tags reads plain lines as well
    if tags and not loaded.manifest.get("untagged_source", True):
        raise UserError(f"the model wants a tag ({tags[0]}) in front of each line, which Argos Translate does not add")


def _source_tokenizer(loaded: LoadedModel) -> str:
    joint, source, _ = TOKENIZER_FILES
    return joint if (loaded.directory / joint).exists() else source


def _metadata(source: str, target: str) -> dict[str, Any]:
    return {
        "package_version": _VERSION,
        "argos_version": _ARGOS_VERSION,
        "from_code": source,
        "from_name": english_name(source),
        "to_code": target,
        "to_name": english_name(target),
        "links": [],
        "type": "translate",
    }


def _readme(source: str, target: str, manifest: dict[str, Any]) -> str:
    version = manifest.get("translate", "")
    return f"# {english_name(source)} – {english_name(target)}\n\nTrained by translate-seq2seq {version}.\n"
