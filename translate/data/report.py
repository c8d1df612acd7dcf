"""The data report: what a person should know about the corpora before training on them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.data.cleaning import shorten
from translate.data.config import DataConfig, training_corpora
from translate.data.corpora import Row
from translate.data.held_out import pairs_left_out
from translate.data.likeness import likeness, warnings
from translate.data.preparation import Prepared
from translate.data.report_markdown import as_markdown
from translate.data.statistics import Split, far_lengths, far_ratios, gather, repeated, shared_with
from translate.data.storage import building_in_cache, digest
from translate.files import read_json, write_json, write_text

MARKDOWN, VALUES = "data_report.md", "data_report.json"

_FORMAT_VERSION = 3
_NUM_EXAMPLES = 3

Values = dict[str, Any]


@dataclass
class DataReport:
    """A report as Markdown for people, and as values for programs."""

    markdown: str
    values: Values

    @property
    def warnings(self) -> list[str]:
        """Reasons why scores on the validation or test set mislead, a line each."""
        return list(self.values["warnings"])

    def save(self, directory: str | Path) -> None:
        """Write data_report.md and data_report.json."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        write_text(Path(directory) / MARKDOWN, self.markdown)
        write_json(Path(directory) / VALUES, self.values)

    @classmethod
    def load(cls, directory: str | Path) -> DataReport:
        """Read what save wrote."""
        markdown = (Path(directory) / MARKDOWN).read_text(encoding="utf-8")
        return cls(markdown, read_json(Path(directory) / VALUES))


def data_report(data: DataConfig, prepared: Prepared) -> DataReport:
    """Sizes, lengths, duplicates, overlap, outliers and examples of all splits, as their files hold them.

    Made once for the same content and configuration, and kept in data.cache.
    """
    key = digest([_FORMAT_VERSION, prepared.fingerprint, asdict(data), prepared.target_unicode.as_manifest()])
    directory = Path(data.cache) / f"report-{key[:16]}"
    with building_in_cache(directory, waiting_for="report on the same data") as folder:
        if folder is not None:
            values = _values(data, prepared)
            prepared.snapshot.require_unchanged()
            DataReport(as_markdown(values), values).save(folder)
    return DataReport.load(directory)


def _values(data: DataConfig, prepared: Prepared) -> Values:
    held_out = prepared.held_out
    left_out = pairs_left_out(held_out.directory) if held_out else np.empty(0, np.int64)
    train = gather("train", training_corpora(data), left_out=left_out)
    sorted_hashes = {name: np.sort(hashes) for name, hashes in train.hashes().items()}
    splits = {"train": _describe(train)}
    tokens = {"source": prepared.train.source_lengths, "target": prepared.train.target_lengths}
    for name, lengths in tokens.items():
        splits["train"][name]["tokens"] = _distribution(lengths)
    warned: list[str] = []
    for key, corpus in prepared.evaluation:
        split = gather(key.removeprefix("data."), [(key, corpus)], left_out=np.empty(0, np.int64))
        overlap = _overlap(split, sorted_hashes)
        splits[split.name] = _describe(split) | {"overlap": overlap, "likeness": likeness(split, train)}
        warned += warnings(key, split, train, overlap)
    return {
        "source_language": data.source_language,
        "target_language": data.target_language,
        "splits": splits,
        "warnings": warned,
        "held_out": {"sizes": held_out.sizes, "left_out": held_out.left_out} if held_out else {},
        "vocabulary": {
            "source": prepared.tokenizer.source_vocab_size,
            "target": prepared.tokenizer.target_vocab_size,
            "shared": prepared.tokenizer.shared,
        },
        "target_unicode": prepared.target_unicode.as_manifest(),
        "cleaning": asdict(prepared.cleaning) | {"kept": prepared.cleaning.kept, "table": prepared.cleaning.table()},
    }


def _describe(split: Split) -> Values:
    corpora = []
    for index, (key, corpus) in enumerate(split.corpora):
        carriage_returns = {name: side.carriage_returns[index] for name, side in split.sides.items()}
        corpora.append({"key": key, "pairs": split.sizes[index], "weight": corpus.weight, "tag": corpus.tag})
        corpora[-1]["carriage_returns"] = carriage_returns
    return {
        "pairs": split.size,
        "corpora": corpora,
        "source": _describe_side(split, "source"),
        "target": _describe_side(split, "target"),
        "duplicates": {name: _duplicates(split, hashes) for name, hashes in split.hashes_by_tag().items()},
        "findings": _findings(split),
    }


def _describe_side(split: Split, name: str) -> Values:
    side = split.sides[name]
    return {
        "script": side.script,
        "characters": _distribution(side.profile.characters),
        "words": _distribution(side.profile.words),
    }


def _distribution(numbers: NDArray[np.integer]) -> Values:
    return {
        "total": int(numbers.sum(dtype=np.int64)),
        "min": int(numbers.min()),
        "median": int(np.percentile(numbers, 50, method="lower")),
        "p95": int(np.percentile(numbers, 95, method="lower")),
        "max": int(numbers.max()),
    }


def _duplicates(split: Split, hashes: NDArray[np.uint64]) -> Values:
    count, common = repeated(hashes)
    texts = split.fetch({row for row, _ in common})
    examples = [_example(row, texts) | {"times": times} for row, times in common]
    return {"count": count, "examples": examples}


def _findings(split: Split) -> dict[str, Values]:
    """Rows that stand out, by name of what is odd about them; of lengths the most extreme come first."""
    rows = {"blank side": np.flatnonzero(_blank(split)), "source = target": np.flatnonzero(split.copies)}
    for name, side in split.sides.items():
        rows[f"control characters in {name}"] = np.flatnonzero(side.profile.controls)
        rows[f"{name} not in Unicode NFC"] = np.flatnonzero(side.not_nfc)
        rows[f"{name} not in {side.script or 'any'} script"] = np.flatnonzero(side.wrong_script)
        rows[f"{name} far longer than most"] = far_lengths(side.profile)
    rows["lengths far from the usual ratio"] = far_ratios(split)
    return _with_examples(split, rows)


def _blank(split: Split) -> NDArray[np.bool_]:
    return np.minimum(split.source.profile.words, split.target.profile.words) == 0


def _overlap(split: Split, train: dict[str, NDArray[np.uint64]]) -> dict[str, Values]:
    rows = {name: shared_with(hashes, train[name]) for name, hashes in split.hashes().items()}
    return _with_examples(split, rows)


def _with_examples(split: Split, rows: dict[str, NDArray[np.int64]]) -> dict[str, Values]:
    shown = {name: found[:_NUM_EXAMPLES].tolist() for name, found in rows.items()}
    texts = split.fetch({row for found in shown.values() for row in found})
    return {
        name: {"count": len(rows[name]), "examples": [_example(row, texts) for row in found]}
        for name, found in shown.items()
    }


def _example(row: int, texts: dict[int, tuple[str, Row]]) -> Values:
    corpus, found = texts[row]
    source, target = (side.removesuffix("\r") for side in (found.source, found.target))
    return {"corpus": corpus, "line": found.line, "source": shorten(source), "target": shorten(target)}
