"""Columns of TensorBoard's HParams tab: those in which the runs of a folder differ, the most telling ones first.

TensorBoard reads the columns of all runs from one summary of an experiment, and shows five settings and five metrics at
first. This summary is a hidden file in the folder of the first run: beside the folders of the runs it would be listed
as a run of its own, named ".". Every run brings it up to date, at its start and at its end, from the rows of all runs.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_BOOL,
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.metadata import (
    EXPERIMENT_TAG,
    SESSION_START_INFO_TAG,
    parse_session_start_info_plugin_data,
)

from translate.folders import MARKER
from translate.training.loggers.logger import INTERVAL, Value
from translate.training.loggers.tensorboard_events import replace_summaries
from translate.training.loggers.tensorboard_summaries import hparams_summary

ROW_FILE = "events.out.tfevents.0000000000.hparams"  # in the folder of a run's event files
COLUMNS_FILE = ".tfevents.columns"
_SHOWN = 5  # columns that TensorBoard shows at first
_MOST_RUNS = 500  # of which rows are read: a larger folder would delay the start of every run in it
_TYPES = {str: DATA_TYPE_STRING, bool: DATA_TYPE_BOOL, float: DATA_TYPE_FLOAT64}
Row = Mapping[str, Value]


def update_columns(folder: Path, scores: Sequence[str]) -> None:
    """Write the summary for the runs beside the folder of a run; scores: the metrics of its validations.

    Several runs may do so at once. Each reads the rows again after it has written, so that none is left out. Folders
    that the process may not read, as those of other users, count for nothing.
    """
    root = _root(folder.absolute())
    if not os.access(root, os.R_OK | os.X_OK):
        return
    rows, written = _read_rows(root), None
    while len(rows) > 1 and rows != written:
        owner = next((each for each in rows if os.access(each, os.W_OK)), None)
        if owner is None:
            return
        summary = hparams_summary(EXPERIMENT_TAG, experiment=experiment(list(rows.values()), scores))
        replace_summaries(owner / COLUMNS_FILE, [summary])
        # TensorBoard takes any of several: one from before the first run, or of an older version
        for file in [root / COLUMNS_FILE, *_files_of_runs(root, COLUMNS_FILE)]:
            if file.parent != owner:
                with suppress(OSError):
                    file.unlink(missing_ok=True)
        rows, written = _read_rows(root), rows


def _root(folder: Path) -> Path:
    """The folder that holds the run, or the sweep or run that it is part of."""
    root = folder.parent
    while os.path.exists(root / MARKER):
        root = root.parent
    return root


def _read_rows(root: Path) -> dict[Path, Row]:
    """Settings and results of the runs in a folder, and of the trials of its sweeps, by the folders of their events."""
    return {file.parent: row for file in _files_of_runs(root, ROW_FILE)[:_MOST_RUNS] for row in _rows_of(file)}


def _files_of_runs(root: Path, name: str) -> list[Path]:
    """Files of a name beside the events of runs and of trials, in the order of their folders."""
    # Path.exists raises an error for a folder that may not be read
    parts = [path for path in root.iterdir() if os.path.exists(path / MARKER)]
    return sorted(file for part in parts for depth in ("", "*/", "trial-*/*/") for file in part.glob(depth + name))


def _rows_of(file: Path) -> Iterator[Row]:
    """The row in a file; none where it is damaged or may not be read."""
    with suppress(OSError):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.tag == SESSION_START_INFO_TAG:
                    info = parse_session_start_info_plugin_data(value.metadata.plugin_data.content)
                    yield {name: getattr(x, x.WhichOneof("kind")) for name, x in info.hparams.items()}


def experiment(rows: Sequence[Row], scores: Sequence[str]) -> Experiment:
    """Settings in which runs differ, and results; those to be shown at first are marked as different."""
    names = sorted({name for row in rows for name in row})
    results = [name for name in names if _is_result(name)]
    main = [name for name in (f"test {scores[0]}", f"valid {scores[0]}") if name in results][:1]
    # further results only where few settings differ, first the interval of the main one
    further = sorted(set(results) - {*main}, key=lambda name: (name not in [f"{each} ±" for each in main], name))
    shown = [*main, *telling_settings(rows), *further][:_SHOWN]
    listed = [name for name in names if name in results or len({row[name] for row in rows if name in row}) > 1]
    # the bounds say, beside the score, if runs are apart
    bounds = [f"{INTERVAL}/{scores[0]}_{bound}" for bound in ("low", "high")]
    of_scores = [f"score/{name}" for name in scores]
    metrics = [*of_scores[:1], *bounds, "loss/valid", *of_scores[1:], "loss/train", "speed/target_tokens_per_second"]
    return Experiment(
        hparam_infos=[_column(name, rows, is_shown=name in shown) for name in listed],
        metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in metrics],
    )


def _is_result(name: str) -> bool:
    # results have names such as "test bleu"; options have no spaces
    return " " in name or name in ("status", "updates")


def telling_settings(rows: Sequence[Row]) -> list[str]:
    """Settings in which runs differ, those first whose values divide the runs most evenly.

    Of several that divide them alike, such as the architecture and its options, only one counts: the one that most runs
    have, the first by name.
    """
    divisions: dict[tuple[int, ...], str] = {}
    counts = Counter(name for row in rows for name in row if not _is_result(name))
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        values = [row.get(name) for row in rows]
        # the index of the first run with the same value: equal for two settings that divide the runs alike
        divisions.setdefault(tuple(map(values.index, values)), name)
    found = {name: _entropy(division) for division, name in divisions.items()}
    return sorted((name for name, entropy in found.items() if entropy), key=lambda name: -found[name])


def _entropy(values: Sequence[int]) -> float:
    """Entropy of a distribution of values, in nats."""
    shares = [count / len(values) for count in Counter(values).values()]
    return sum(share * math.log(1 / share) for share in shares)


def _column(name: str, rows: Sequence[Row], *, is_shown: bool) -> HParamInfo:
    values = {row[name] for row in rows if name in row}
    types = {type(value) for value in values}
    # a setting that is a number in one run and a text in another is text
    info = HParamInfo(name=name, type=_TYPES[types.pop() if len(types) == 1 else str], differs=is_shown)
    if info.type == DATA_TYPE_STRING:
        info.domain_discrete.extend(sorted(map(str, values)))
    return info
