"""The test set that a run was scored on: its references, its source and its labels, read where the run had them."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.data.corpora import ParallelText, name_of_set
from translate.data.corpus import CorpusFormat, one_or_several, recorded_corpus
from translate.data.languages import name_of_direction
from translate.data.readers import read_parallel_text
from translate.errors import UserError, excerpt
from translate.text import read_lines
from translate.training.saved_states import CONFIG

References = list[list[str]]
# a comparison never downloads: it works on a machine without network
_DOWNLOADED = (CorpusFormat.hub, CorpusFormat.mtdata, CorpusFormat.sacrebleu)


@dataclass(frozen=True)
class SourceText:
    """Source lines of a test set, and the labels of each or None."""

    source: list[str]
    labels: list[list[str]] | None


def references_of(entry: Path, directory: Path, report: Mapping[str, Any], config: Mapping[str, Any]) -> References:
    """The references that a report was scored against.

    entry      a run's folder, or the folder of a report
    directory  of the report
    config     of the run; {} where there is none

    Raises UserError where they are not named or cannot be read.
    """
    paths = _reference_paths(report)
    if not paths:
        with suppress(UserError, AttributeError, KeyError, TypeError):
            paths = [path for path in one_or_several(config["data"]["test"]["target"], key="data.test.target") if path]
    if not paths:
        raise UserError("its references are not recorded; name them: reference=FILE")
    return [list(read_lines(_found(path, entry, directory))) for path in paths]


def _reference_paths(report: Mapping[str, Any]) -> list[str]:
    """Files of the references by a report; older ones name them in the sacrebleu command alone."""
    files = report.get("reference_files")
    if isinstance(files, list) and files and all(isinstance(path, str) for path in files):
        return files
    with suppress(ValueError):  # a quote that is not closed
        words = shlex.split(str(report.get("command") or ""))
        if words[:1] == ["sacrebleu"] and "-i" in words:
            return words[1 : words.index("-i")]
    return []


def _found(path: str, entry: Path, directory: Path) -> Path:
    """The file of references: as it was named, or within the run's folder, which may have been moved."""
    candidates = [Path(path), directory / Path(path).name, entry / "held_out" / Path(path).name]
    for candidate in candidates:
        if os.path.isfile(candidate):  # also False for a name that no file can have
            return candidate
    raise UserError(f"its references are not there any more ({excerpt(path)}, from {Path.cwd()})")


def text_of(
    entry: Path, report: Mapping[str, Any], config: Mapping[str, Any], references: References
) -> SourceText | None:
    """Source and labels of the test set of a report; None where they are not found, or do not fit the references."""
    name = str(report.get("name", "test"))
    # sets that were held out have files of their own in the run's folder; others are read again by the configuration
    for file in (entry / "held_out" / f"{part}{name}.source" for part in ("", "test.", "valid.")):
        if os.path.isfile(file):
            source = list(read_lines(file))
            return SourceText(source, None) if len(source) == len(references[0]) else None
    for key, values in _evaluation_sets(config):
        # a set of a file that is gone, or of an option that this version does not know, is one that cannot be read
        with suppress(UserError, OSError, ValueError, TypeError):
            text = _read_set(entry, key, values, name)
            # the file may have changed since: its target must be what was scored
            if text is not None and len(text.source) == len(references[0]) and text.target == references[0]:
                return SourceText(text.source, text.labels)
    return None


def _evaluation_sets(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Sets of a run's configuration by their keys, tests first: a run without one is scored on its validation set."""
    data = config.get("data")
    data = data if isinstance(data, dict) else {}
    for name in ("test", "further_tests", "valid", "further_valid"):
        found = data.get(name, {})
        several = isinstance(found, list)
        for number, values in enumerate(found if several else [found]):
            if isinstance(values, dict):
                yield (f"data.{name}[{number}]" if several else f"data.{name}"), values


def _read_set(entry: Path, key: str, values: Mapping[str, Any], name: str) -> ParallelText | None:
    """A set of a run's configuration; None where it has another name, or would be downloaded."""
    corpus = recorded_corpus(values, entry / CONFIG)
    names = name_of_set(key, corpus), name_of_direction(corpus.source_language, corpus.target_language)
    return read_parallel_text(corpus, key=key) if name in names and corpus.format not in _DOWNLOADED else None


def content_of(references: References) -> str:
    """Hash of references as metrics see them, without trailing white space: equal for equal test sets."""
    hashed = hashlib.sha256()
    for lines in references:
        for line in lines:
            hashed.update(line.rstrip().encode(errors="surrogatepass") + b"\n")
        hashed.update(b"\0")  # or two references of n lines would equal one of 2n
    return hashed.hexdigest()
