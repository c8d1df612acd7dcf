"""Lines that a model and its export both translate: the test set of the model's run, or given files."""

from __future__ import annotations

from pathlib import Path

from translate.data.corpora import ParallelText
from translate.data.corpus import CorpusConfig, recorded_corpus
from translate.data.held_out import held_out_files
from translate.data.readers import read_parallel_text
from translate.errors import UserError
from translate.text import read_lines
from translate.training.saved_states import CONFIG, read_config


def given_lines(source: str, reference: str) -> ParallelText:
    """The lines of one or two files. Raises UserError unless both have as many, at least one."""
    lines = list(read_lines(source))
    target = list(read_lines(reference)) if reference else []
    if reference and len(lines) != len(target):
        raise UserError(f"{source} has {len(lines):,} lines, but {reference} has {len(target):,}")
    if not lines:
        raise UserError(f"{source} has no lines")
    paths = [reference] if reference else []
    return ParallelText(name=source, source=lines, target=target, labels=None, reference_paths=paths)


def lines_of_run(model: Path) -> ParallelText | None:
    """The test set of the run that a model comes from, or its validation set where it has none; None: not known.

    model  a run's folder, or a model directory in it
    """
    for run in (model, model.parent):  # the model directory best/ lies in the run's folder
        if (run / CONFIG).is_file():
            return next((read_parallel_text(corpus, key=key) for key, corpus in _corpora(run) if _exists(corpus)), None)
    return None


def _corpora(run: Path) -> list[tuple[str, CorpusConfig]]:
    """Test and validation sets of a run, given or held out, in this order, with their keys."""
    data = read_config(run / CONFIG)["data"]
    found = []
    for kind in ("test", "valid"):
        source, target = (str(run / "held_out" / name) for name in held_out_files([kind]))
        settings = data.get(kind) if isinstance(data, dict) else None
        if isinstance(settings, dict):
            given = recorded_corpus(settings, run / CONFIG)
            found += [(f"data.{kind}", given)] if given.is_given else []
        found.append((f"data.{kind}", CorpusConfig(source=source, target=target)))
    return found


def _exists(corpus: CorpusConfig) -> bool:
    """False where the files of a set have gone; the names of data sets are left to their libraries."""
    files = corpus.paths or [corpus.source, *corpus.targets]
    # without a request to a server, the name of a data set says nothing about its presence
    return bool(corpus.name) or all(Path(file).exists() for file in files)
