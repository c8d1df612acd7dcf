"""Data report: sizes, duplicates, overlap, outliers and examples of the corpora, as their files hold them.

Each split is read once, and once more for its examples. Letters: N pairs of a split.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.data.cleaning import shorten
from translate.data.corpora import DataConfig
from translate.data.dataset import building_in_cache, digest
from translate.data.languages import name_of_direction
from translate.data.prepare import Prepared
from translate.data.readers import Row, without_carriage_return
from translate.data.report_page import as_markdown
from translate.data.report_splits import Split, gather, training_splits
from translate.data.text_profile import Side, differences, far_lengths, likeness
from translate.files import read_json, write_json, write_text

MARKDOWN, VALUES = "data_report.md", "data_report.json"
_FORMAT_VERSION = 6
_NUM_EXAMPLES = 3
_MUCH_OVERLAP = 0.05  # of the sources of a validation or test set
_MIN_RATIO_CHARACTERS = 40  # of the longer side: ratios of shorter pairs say little
_FAR_RATIO = 4.0  # times the usual ratio of lengths
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
            prepared.snapshot.require_unchanged()  # before a report on other files enters the cache
            DataReport(as_markdown(values), values).save(folder)
    return DataReport.load(directory)


def _values(data: DataConfig, prepared: Prepared) -> Values:
    held_out = prepared.held_out
    training = training_splits(data, held_out)
    hashes_of = [split.hashes() for split in training.values()]
    sorted_hashes = {name: np.sort(np.concatenate([each[name] for each in hashes_of])) for name in hashes_of[0]}
    splits = {split.name: _describe(split) for split in training.values()}
    _add_tokens(splits, data, prepared)
    warned = _unknown_directions(data)
    for key, corpus in prepared.evaluation:
        split = gather(data.title_of(key, corpus), [(key, corpus)], left_out=np.empty(0, np.int64))
        shared = {name: shared_with(hashes, sorted_hashes[name]) for name, hashes in split.hashes().items()}
        overlap = _with_examples(split, shared)
        # a set of a further direction is compared with the first one
        train = training.get(data.direction_of(corpus), next(iter(training.values())))
        compared = {name: likeness(side, train.sides[name]) for name, side in split.sides.items()}
        splits[split.name] = _describe(split) | {"overlap": overlap, "likeness": compared}
        warned += warnings(key, split, train, overlap)
    return {
        "source_language": data.languages[0],
        "target_language": data.languages[1],
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


def _add_tokens(splits: Values, data: DataConfig, prepared: Prepared) -> None:
    """Add the lengths of the training pairs in tokens, of each direction where there are several."""
    train = prepared.train
    if not data.directions:
        rows = {"train": np.arange(len(train))}
    else:
        corpora = train.corpora(np.arange(len(train)))
        rows = {f"train.{each.name}": np.flatnonzero(np.isin(corpora, each.corpora)) for each in data.directions}
    for name, chosen in rows.items():
        splits[name]["source"]["tokens"] = _distribution(train.source_lengths[chosen])
        splits[name]["target"]["tokens"] = _distribution(train.target_lengths[chosen])


def _describe(split: Split) -> Values:
    return {
        "pairs": split.size,
        "corpora": [
            {
                "key": key,
                "pairs": split.sizes[index],
                "weight": corpus.weight,
                "tag": corpus.tag,
                "carriage_returns": {name: side.carriage_returns[index] for name, side in split.sides.items()},
            }
            for index, (key, corpus) in enumerate(split.corpora)
        ],
        **{name: _describe_side(side) for name, side in split.sides.items()},
        "duplicates": {name: _duplicates(split, hashes) for name, hashes in split.hashes_by_tag().items()},
        "findings": _findings(split),
    }


def _describe_side(side: Side) -> Values:
    return {
        "script": side.script,
        "characters": _distribution(side.profile.characters),
        "words": _distribution(side.profile.words),
    }


def _distribution(numbers: NDArray[np.integer]) -> Values:
    low, median, p95, high = (int(np.percentile(numbers, percent, method="lower")) for percent in (0, 50, 95, 100))
    return {"total": int(numbers.sum(dtype=np.int64)), "min": low, "median": median, "p95": p95, "max": high}


def _duplicates(split: Split, hashes: NDArray[np.uint64]) -> Values:
    count, common = repeated(hashes)
    texts = split.fetch({row for row, _ in common})
    examples = [_example(row, texts) | {"times": times} for row, times in common]
    return {"count": count, "examples": examples}


def _findings(split: Split) -> dict[str, Values]:
    """Unusual rows by kind; of lengths the most extreme come first."""
    is_blank = np.minimum(split.source.profile.words, split.target.profile.words) == 0
    rows = {"blank side": np.flatnonzero(is_blank), "source = target": np.flatnonzero(split.copies)}
    for name, side in split.sides.items():
        rows[f"control characters in {name}"] = np.flatnonzero(side.profile.controls)
        rows[f"{name} not in Unicode NFC"] = np.flatnonzero(side.not_nfc)
        rows[f"{name} not in {side.script or 'any'} script"] = np.flatnonzero(side.wrong_script)
        rows[f"{name} far longer than most"] = far_lengths(side.profile)
    rows["lengths far from the usual ratio"] = far_ratios(split)
    return _with_examples(split, rows)


def _with_examples(split: Split, rows: dict[str, NDArray[np.int64]]) -> dict[str, Values]:
    # all kinds together, as each pass over the files takes its time
    shown = {name: found[:_NUM_EXAMPLES].tolist() for name, found in rows.items()}
    texts = split.fetch({row for found in shown.values() for row in found})
    return {
        name: {"count": len(rows[name]), "examples": [_example(row, texts) for row in found]}
        for name, found in shown.items()
    }


def _example(row: int, texts: dict[int, tuple[str, Row]]) -> Values:
    corpus, found = texts[row]
    source, target = map(without_carriage_return, (found.source, found.target))
    return {"corpus": corpus, "line": found.line, "source": shorten(source), "target": shorten(target)}


def warnings(key: str, split: Split, train: Split, overlap: Values) -> list[str]:
    """Reasons why scores on a validation or test set mislead, a line each.

    key      of its configuration, such as data.valid
    overlap  values of the rows that it shares with the training text
    """
    lines = []
    unlike = [text for name, side in split.sides.items() for text in differences(name, side, train.sides[name])]
    if unlike:
        lines.append(f"{key} is unlike the training text: {'; '.join(unlike)}")
    share = overlap["source"]["count"] / split.size
    if share > _MUCH_OVERLAP:
        lines.append(
            f"{share:.1%} of the sources of {key} are in the training text too "
            f"({overlap['pair']['count'] / split.size:.1%} with the same target): its scores are too high for new text"
        )
    return lines


def _unknown_directions(data: DataConfig) -> list[str]:
    """Warnings about training corpora without a target language beside others that have one."""
    known = [(key, corpus) for key, corpus in data.training_corpora if corpus.target_language]
    lines = []
    for key, corpus in data.training_corpora if known else []:
        if not corpus.target_language:
            (other, first), *_ = known
            name = name_of_direction(first.source_language, first.target_language)
            lines.append(
                f"{key} does not say its languages, and {other} is of {name}: both count as one direction; if they are "
                f"not, set {key}.source_language=… {key}.target_language=…"
            )
    return lines


def far_ratios(split: Split) -> NDArray[np.int64]:
    """Rows whose lengths are far from the usual ratio of target to source in this split, the furthest first."""
    source = split.source.profile.characters.astype(float)
    target = split.target.profile.characters.astype(float)
    judged = (np.minimum(source, target) > 0) & (np.maximum(source, target) > _MIN_RATIO_CHARACTERS)
    # logarithms, so that twice as long and half as long are equally far
    ratio = np.zeros(len(source))
    ratio[judged] = np.log(target[judged] / source[judged])
    distance = np.where(judged, np.abs(ratio - np.median(ratio[judged])), 0.0) if judged.any() else ratio
    rows = np.flatnonzero(distance > np.log(_FAR_RATIO))
    return rows[np.argsort(-distance[rows], kind="stable")]


def repeated(hashes: NDArray[np.uint64]) -> tuple[int, list[tuple[int, int]]]:
    """Number of rows that repeat an earlier one, and the most frequent rows as (first row, times)."""
    _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    # unique() sorts by hash: stable, so that ties come in the same order in every report
    common = [index for index in np.argsort(-counts, kind="stable")[:3] if counts[index] > 1]
    return len(hashes) - len(counts), [(int(first[index]), int(counts[index])) for index in common]


def shared_with(hashes: NDArray[np.uint64], train: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows that are in the training text as well, given its hashes in ascending order."""
    nearest = np.minimum(np.searchsorted(train, hashes), len(train) - 1)  # the last one for hashes above all
    return np.flatnonzero(train[nearest] == hashes)
