"""The files of a model at one time: their state, hash and manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from translate.data.languages import directions_of_manifest
from translate.decoding.segmentation import Splitting
from translate.errors import UserError, excerpt
from translate.model_directory import content_hash, find_model_or_export, read_manifest
from translate.serving.file_state import FileState, file_state

_HASH_DIGITS = 12  # of the SHA-256 of a model's files
_LANGUAGE = re.compile(r"[\w-]{0,50}", re.ASCII)  # it gets into headers and documents
_WEIGHTS = (".safetensors", ".bin", ".onnx")


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model.

    files  states of its files: other ones may be another version
    hash   beginning of the SHA-256 of all files that decide translations
    """

    files: tuple[FileState, ...]
    hash: str
    manifest: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The version in a folder. Raises UserError if it has no complete model, or its manifest is damaged."""
        files = model_files(path)
        try:
            version = cls(files, content_hash(str(path))[:_HASH_DIGITS], read_manifest(path))
        except OSError as error:
            raise UserError(f"model={path}: {error.strerror or error}") from None
        for language in {language for direction in version.directions for language in direction}:
            if not _LANGUAGE.fullmatch(language):
                raise UserError(f"model={path}: a language of its manifest, {excerpt(language)!r}, is no code")
        return version

    @property
    def directions(self) -> list[tuple[str, str]]:
        """Source and target language of each direction."""
        several = [(each.source_language, each.target_language) for each in directions_of_manifest(self.manifest)]
        single = self.manifest.get("source_language", ""), self.manifest.get("target_language", "")
        return several or [single]

    @property
    def has_several_directions(self) -> bool:
        return bool(directions_of_manifest(self.manifest))

    @property
    def context(self) -> int:
        """Number of previous lines that the model reads."""
        return int(self.manifest.get("context", 0))

    @property
    def splitting(self) -> Splitting:
        return Splitting.of_model(self.manifest)

    @property
    def weight_bytes(self) -> int:
        """Size of the weights on disk."""
        return sum(file.size for file in self.files if file.path.suffix in _WEIGHTS)


def model_files(path: Path) -> tuple[FileState, ...]:
    """States of the files of a model or export; () where there is none, also while another version is written."""
    try:
        files = sorted(find_model_or_export(path).iterdir())
    except (UserError, OSError):
        return ()
    return tuple(filter(None, map(file_state, files)))
