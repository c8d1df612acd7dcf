"""Where sentence pairs come from: text files, tables, JSON lines, Parquet, SQuAD and the Hugging Face hub.

Every reader is a lazy function from a CorpusConfig to pairs of lines, in order, each with its place; a "\\n" inside
a value of JSON, Parquet or the hub becomes a space, so that a sentence is a line in whatever form it came. A blank
line of a table or of JSON lines is a pair with two blank sides, as it is in text files.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from translate.data.names import one_or_several
from translate.errors import UserError
from translate.files import require_regular
from translate.text import open_bytes, read_lines

Pair = tuple[str, str]

SEPARATOR = "<sep>"  # between a question and its passage

_BATCH_ROWS = 10_000


class Row(NamedTuple):
    """A sentence pair with its file and its line there, from 1; of Parquet, SQuAD and the hub the record's number."""

    path: str
    line: int
    source: str
    target: str


class CorpusFormat(StrEnum):
    text = "text"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"
    squad = "squad"
    hub = "hub"


@dataclass(kw_only=True)
class CorpusConfig:
    """One corpus of sentence pairs.

    source, target  text: one file each. Otherwise the column: a name, or for TSV without a header a number
                    from 1 (as in `cut -f`); a dotted name reaches into a record, such as translation.de.
                    Several references of a validation or test set: target=[FIRST,SECOND]
    path            tsv, jsonl, parquet, squad: the file, or a pattern such as corpus/*.parquet; .gz but for Parquet
    name, subset, split, revision  hub: as in datasets.load_dataset; a local folder may stand for the name
    skip, take      pairs left out at the beginning, and how many are read after them; 0: all
    every_answer    squad: all right answers, separated by TAB, as a test set wants them; else the first
    weight          how many times an epoch sees each pair of a training corpus
    start, end      the shares of a run between which a training corpus takes part
    tag             a symbol such as <bt> to put in front of every source sentence; "" for none
    labels          for a test set: a file with a line of TAB-separated labels for each pair; "" for none
    """

    format: CorpusFormat = CorpusFormat.text
    source: str = ""
    target: Any = ""  # str, or list[str] of at least two
    path: str = ""
    name: str = ""
    subset: str = ""
    split: str = "train"
    revision: str = ""
    skip: int = 0
    take: int = 0
    every_answer: bool = False
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    tag: str = ""
    labels: str = ""

    def __post_init__(self) -> None:
        targets = one_or_several(self.target, key="target")
        self.target = targets[0] if len(targets) == 1 else targets

    @property
    def targets(self) -> list[str]:
        """All targets: the first is for training and the validation loss, all are references."""
        return self.target if isinstance(self.target, list) else [self.target]

    @property
    def prefix(self) -> str:
        """The tag and a space, as they stand in front of each source line; "" without a tag."""
        return f"{self.tag} " if self.tag else ""

    @property
    def is_given(self) -> bool:
        """True if anything but the tag is set."""
        return replace(self, tag="") != CorpusConfig()

    @property
    def is_permanent(self) -> bool:
        """True if it takes part from a run's first update to its last."""
        return self.start <= 0 and self.end >= 1

    def takes_part(self, share: float) -> bool:
        """True if it is trained on when that share of a run is over."""
        return self.start <= share < self.end

    @property
    def last(self) -> int | None:
        """The number of the pair after the last that is read; None: to the end."""
        return self.skip + self.take if self.take else None

    @property
    def is_part(self) -> bool:
        return bool(self.skip or self.take)


def phase_starts(corpora: Sequence[CorpusConfig]) -> list[float]:
    """The shares of a run at which corpora come or go, in order, 0 the first."""
    return sorted({0.0, *(share for corpus in corpora for share in (corpus.start, corpus.end) if share < 1)})


def read_pairs(config: CorpusConfig, *, key: str) -> Iterator[Pair]:
    """The pairs of read_rows without their places."""
    for row in read_rows(config, key=key):
        yield row.source, row.target


def read_rows(config: CorpusConfig, *, key: str) -> Iterator[Row]:
    """The corpus's pairs in order, untouched; of several targets, the first.

    key (such as data.train) is what errors call its configuration.

    Raises UserError when something is missing, unreadable or empty, when the two sides have different numbers
    of lines, or naming the line that lacks a column.
    """
    empty = True
    _require_files(config, key)
    try:
        _check_names(config, key)
        one_target = replace(config, target=config.targets[0])
        for row in islice(CORPORA[config.format](one_target), config.skip, config.last):
            yield row
            empty = False
        if empty:
            raise UserError("the corpus is empty")
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def name_in_reports(key: str, config: CorpusConfig, row: Row) -> str:
    """A row's corpus, with its file where the corpus has several."""
    return f"{key} {Path(row.path).name}" if config.path not in ("", row.path) else key


def corpus_files(config: CorpusConfig, *, key: str) -> list[str]:
    """Each file that read_rows reads. Raises UserError where an option is missing or names no regular file."""
    _require_files(config, key)
    try:
        _check_names(config, key)
        return _files(config)
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def read_text(config: CorpusConfig) -> Iterator[Row]:
    """Line n of one file and line n of the other."""
    counts = [0, 0]
    for source, target in zip_longest(read_lines(config.source), read_lines(config.target)):
        counts[0] += source is not None
        counts[1] += target is not None
        if counts[0] == counts[1]:
            yield Row(config.source, counts[0], source, target)
    if counts[0] != counts[1]:
        raise UserError(
            f"the two sides must have the same number of lines, but {config.source} has {counts[0]:,} "
            f"and {config.target} has {counts[1]:,}"
        )


def read_tsv(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of a table in which only TAB and "\\n" count: no quoting, no escapes."""
    for path in _paths(config):
        places: tuple[int, int] | None = None
        for number, line in enumerate(read_lines(path), start=1):
            if places is None:
                places, is_header = _column_places(path, config, line)
                if is_header:
                    continue
            if not line.strip():
                yield Row(path, number, "", "")
                continue
            columns = line.split("\t")
            if len(columns) <= max(places):
                raise UserError(
                    f"{path}, line {number}: column {max(places) + 1} is asked for; there are {len(columns)}"
                )
            yield Row(path, number, columns[places[0]], columns[places[1]])


def read_jsonl(config: CorpusConfig) -> Iterator[Row]:
    """One JSON object per line."""
    for path in _paths(config):
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip():
                yield Row(path, number, "", "")
                continue
            place = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{place}, column {error.colno}: not JSON: {error.msg}") from None
            yield Row(path, number, _value(record, config.source, place), _value(record, config.target, place))


def read_parquet(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of Parquet files, a batch of rows at a time."""
    import pyarrow
    from pyarrow import parquet

    columns = list({config.source, config.target})
    for path in _paths(config):
        try:
            with parquet.ParquetFile(path) as file:
                batches = file.iter_batches(_BATCH_ROWS, columns=columns)
                yield from _records_to_rows((record for batch in batches for record in batch.to_pylist()), config, path)
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"{path}: cannot be read as Parquet: {error}") from None


def read_squad(config: CorpusConfig) -> Iterator[Row]:
    """Questions with their passages, "question <sep> passage", and their answers (Rajpurkar et al. 2016).

    A question without an answer (SQuAD 2) has an empty one.
    """
    for path in _paths(config):
        try:
            with open_bytes(path) as stream:
                articles = json.load(stream)["data"]
            passages = (passage for article in articles for passage in article["paragraphs"])
            questions = ((passage, question) for passage in passages for question in passage["qas"])
            for number, (passage, question) in enumerate(questions, start=1):
                answers = list(dict.fromkeys(_line(answer["text"]) for answer in question["answers"])) or [""]
                source = f"{_line(question['question'])} {SEPARATOR} {_line(passage['context'])}"
                yield Row(path, number, source, "\t".join(answers if config.every_answer else answers[:1]))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: cannot be read as SQuAD's JSON: {type(error).__name__}: {error}") from None


def read_hub(config: CorpusConfig) -> Iterator[Row]:
    """A split of a data set on the Hugging Face hub, downloaded once and then read from its local copy."""
    batches = _hub_dataset(config).with_format("arrow").iter(batch_size=_BATCH_ROWS)
    yield from _records_to_rows((record for batch in batches for record in batch.to_pylist()), config, config.name)


CORPORA: dict[CorpusFormat, Callable[[CorpusConfig], Iterator[Row]]] = {
    CorpusFormat.text: read_text,
    CorpusFormat.tsv: read_tsv,
    CorpusFormat.jsonl: read_jsonl,
    CorpusFormat.parquet: read_parquet,
    CorpusFormat.squad: read_squad,
    CorpusFormat.hub: read_hub,
}


def _check_names(config: CorpusConfig, key: str) -> None:
    if config.skip < 0 or config.take < 0:
        raise UserError(f"{key}.skip ({config.skip}) and {key}.take ({config.take}) must not be negative")
    needed = [] if config.format is CorpusFormat.squad else ["source", "target"]
    if config.format is CorpusFormat.hub:
        needed.append("name")
    elif config.format is not CorpusFormat.text:
        needed.append("path")
    values = {**vars(config), "target": all(config.targets)}
    if missing := [name for name in needed if not values[name]]:
        options = " ".join(f"{key}.{name}=…" for name in missing)
        what = f"where the {config.format} corpus is"
        if config.format is not CorpusFormat.text and {"source", "target"}.issuperset(missing):
            what = f"which columns of the {config.format} corpus to read"
        if key in ("data.valid", "data.test"):
            what += f" (pairs are held out from data.train where no {key} option is set)"
        raise UserError(f"nothing says {what}; set {options}")


def _require_files(config: CorpusConfig, key: str) -> None:
    """Raise UserError for a pipe or device: a corpus is read several times, each time from its beginning."""
    paths = [(f"{key}.labels", config.labels)]
    if config.format is CorpusFormat.text:
        paths += [(f"{key}.source", config.source), *((f"{key}.target", path) for path in config.targets)]
    elif config.format is not CorpusFormat.hub:
        paths += [(f"{key}.path", path) for path in (config.path, *glob.glob(config.path, recursive=True))]
    for option, path in paths:
        if path:
            require_regular(path, option=option)


def _files(config: CorpusConfig) -> list[str]:
    if config.format is CorpusFormat.text:
        return [config.source, *config.targets]
    if config.format is CorpusFormat.hub:
        return [file["filename"] for file in _hub_dataset(config).cache_files]
    return _paths(config)


def _paths(config: CorpusConfig) -> list[str]:
    """The files that config.path names or matches, in alphabetical order."""
    if Path(config.path).exists():
        return [config.path]
    if matches := sorted(glob.glob(config.path, recursive=True)):
        return matches
    raise UserError(f"{config.path}: there is no such file (looked from {Path.cwd()})")


def _column_places(path: str, config: CorpusConfig, first_line: str) -> tuple[tuple[int, int], bool]:
    """Indices of the two columns, from 0, and whether the first line is a header."""
    names = first_line.rstrip("\r").split("\t")
    if config.source.isdecimal() and config.target.isdecimal():
        places = int(config.source) - 1, int(config.target) - 1
        if min(places) < 0:
            raise UserError("columns are counted from 1, as in `cut -f`; found 0")
        # some tables have a header that only numbers the columns
        numbered = len(names) > max(places) and [names[place] for place in places] == [config.source, config.target]
        return places, numbered
    for column in (config.source, config.target):
        if column not in names:
            raise UserError(f"{path}, line 1: no column {column!r} in the header, which has {', '.join(names)}")
    return (names.index(config.source), names.index(config.target)), True


def _records_to_rows(records: Iterable[Any], config: CorpusConfig, name: str) -> Iterator[Row]:
    for number, record in enumerate(records, start=1):
        yield Row(name, number, _value(record, config.source, name), _value(record, config.target, name))


def _value(record: Any, key: str, place: str) -> str:
    """The text that a dotted key names in a record, as one line."""
    value = record
    for part in [key] if isinstance(record, dict) and key in record else key.split("."):
        if not isinstance(value, dict) or part not in value:
            found = ", ".join(map(str, record)) if isinstance(record, dict) else type(record).__name__
            raise UserError(f"{place}: no {key!r} here, only {found}")
        value = value[part]
    if not isinstance(value, str):
        raise UserError(f"{place}: {key!r} should be text, but is {value!r:.40}")
    return _line(value)


def _line(text: str) -> str:
    """Text on one line; JSON can spell half of a surrogate pair, which cannot be written as UTF-8."""
    return text.replace("\n", " ").encode("utf-8", "replace").decode("utf-8")


def _hub_dataset(config: CorpusConfig) -> Any:
    import datasets

    try:
        return datasets.load_dataset(
            config.name, config.subset or None, split=config.split, revision=config.revision or None
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"hub data set {config.name!r}, split {config.split!r}: {reason}") from None
