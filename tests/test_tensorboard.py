"""What TensorBoard shows of a run and of several: curves, names, rows and columns of HParams, charts, samples."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from markdown import markdown
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS

from event_files import columns, curves, hparams_row
from small_runs import composed, options, write_corpus
from stored_runs import train_here
from translate import train as train_page
from translate.train import train
from translate.training.loggers.logger import RunDescription, Status
from translate.training.loggers.tensorboard import TensorBoardConfig, TensorBoardLogger
from translate.training.loggers.tensorboard_columns import COLUMNS_FILE, experiment, telling_settings, update_columns
from translate.training.samples import marked_difference
from translate.training.stopping import Trial

SHORT = {"run__max_steps": 20, "validation__every": 10, "run__save_every": 20}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=300)


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    train_here(corpus, folder, **SHORT)
    return folder


def test_losses_and_scores_are_the_first_two_groups_and_no_curve_has_a_single_point(run):
    found = curves(run)
    groups = sorted({tag.partition("/")[0] for tag in found})
    # TensorBoard opens the first two
    assert groups[:2] == ["loss", "score"]
    assert {tag for tag in found if tag.startswith(("loss/", "score/"))} == {
        "loss/train",
        "loss/valid",
        "score/bleu",
        "score/chrf",
    }
    assert [tag for tag, points in found.items() if len(points) < 2] == []


def test_the_interval_encloses_the_score_and_the_layout_shows_it(run):
    found = curves(run)
    for step, score in found["score/bleu"].items():
        assert found["valid_interval/bleu_low"][step] <= score <= found["valid_interval/bleu_high"][step]
    events = EventAccumulator(str(run)).Reload()
    layout = Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    charts = [chart for category in layout.category for chart in category.chart]
    assert len(charts) == 5
    series = charts[0].margin.series[0]
    tags = {tag.strip("^$") for chart in charts for tag in chart.multiline.tag} | {
        series.value,
        series.lower,
        series.upper,
    }
    assert tags <= set(found)


def test_the_row_has_settings_scores_and_status(run):
    title, values, status = hparams_row(run)
    assert (title, status) == ("mine", STATUS_SUCCESS)
    assert (values["model.dropout"], values["run.seed"], values["auxiliary"]) == (0.1, 1.0, "none")
    scores = {f"test {metric}{of}" for metric in ("bleu", "chrf") for of in ("", " ±")}
    assert {*scores, "valid bleu", "valid loss", "time (minutes)", "weights (million)"} < set(values)
    assert values["status"] == "finished"
    assert not {"run.dir", "name", "data.cache"} & set(values)


def test_a_finished_run_started_again_keeps_its_row(run, corpus):
    before = hparams_row(run)[1]
    train_here(corpus, run, **SHORT)
    assert {**hparams_row(run)[1], "time (minutes)": 0} == {**before, "time (minutes)": 0}


def test_a_failed_run_is_marked(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(train_page, "require_best", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(composed(options(corpus, tmp_path / "run", **SHORT)))
    assert hparams_row(tmp_path / "run")[1]["status"] == "failed"
    assert hparams_row(tmp_path / "run")[2] == STATUS_FAILURE


def test_a_run_of_an_older_version_continues_its_curves(run, corpus, tmp_path):
    older = shutil.copytree(run, tmp_path / "mine")
    (older / "tensorboard").mkdir()
    for file in older.glob("*tfevents*"):
        file.unlink()
    train_here(corpus, older, **SHORT | {"run__max_steps": 30})
    found = curves(older / "tensorboard")
    assert {"train/loss", "valid/loss", "valid/bleu", "train/learning_rate"} < set(found)
    assert not any(tag.startswith(("loss/", "score/")) for tag in found)
    assert not list(older.glob("*tfevents*"))


def test_throughput_counts_training_alone(corpus, tmp_path, monkeypatch):
    original = train_page.validate

    def slow(*arguments):
        import time

        time.sleep(0.5)
        original(*arguments)

    monkeypatch.setattr(train_page, "validate", slow)
    train_here(corpus, tmp_path / "run", **SHORT | {"run__log_every": 1})
    speed = curves(tmp_path / "run")["speed/updates_per_second"]
    # an update after a validation: half a second would leave at most two a second
    assert min(speed[11], speed[12]) > 2


ROWS = [
    {"model.architecture": "transformer", "model.num_heads": 4.0, "model.attention": "softmax", "model.dropout": d}
    | {"run.seed": s, "batch.tokens": 100.0, "test bleu": 10.0 * d + s, "status": "finished"}
    for d in (0.1, 0.3)
    for s in (1.0, 2.0, 3.0)
] + [
    {"model.architecture": "lstm", "model.attention": "bahdanau", "model.dropout": 0.1, "run.seed": 1.0}
    | {"batch.tokens": 100.0, "test bleu": 1.0, "status": "failed"}
]


def test_columns_are_those_that_tell_the_runs_apart():
    assert telling_settings(ROWS) == ["run.seed", "model.dropout", "model.architecture"]
    found = experiment(ROWS, ["bleu", "chrf"])
    assert {info.name for info in found.hparam_infos if info.differs} == {
        "test bleu",
        "run.seed",
        "model.dropout",
        "model.architecture",
        "status",
    }
    assert "batch.tokens" not in {info.name for info in found.hparam_infos}
    assert [info.name.tag for info in found.metric_infos][:5] == [
        "score/bleu",
        "valid_interval/bleu_low",
        "valid_interval/bleu_high",
        "loss/valid",
        "score/chrf",
    ]


def row_of(folder: Path, name: str, dropout: float, *, group: str = "") -> None:
    (folder / ".made-by-translate-seq2seq").parent.mkdir(parents=True, exist_ok=True)
    (folder / ".made-by-translate-seq2seq").write_text("{}")
    settings = {"model.dropout": dropout, "run.seed": 1}
    run = RunDescription(name=name, group=group, folder=folder, settings=settings, step=0, scores=["bleu"])
    logger = TensorBoardLogger(TensorBoardConfig(), run)
    logger.results({"test bleu": dropout})
    logger.close(Status.finished)


def test_columns_are_of_all_runs_and_trials_of_the_outermost_folder(tmp_path):
    row_of(tmp_path / "runs" / "a", "a", 0.1)
    assert not (tmp_path / "runs" / "a" / COLUMNS_FILE).exists()  # a single run
    sweep = tmp_path / "runs" / "sweep"
    sweep.mkdir()
    (sweep / ".made-by-translate-seq2seq").write_text("{}")
    row_of(sweep / "trial-000", "dropout=0.3", 0.3, group="sweep")
    assert {info.name for info in columns(tmp_path / "runs" / "a").hparam_infos} == {
        "model.dropout",
        "test bleu",
        "status",
    }
    assert not (sweep / COLUMNS_FILE).exists()
    assert (sweep / "trial-000" / "dropout=0.3").is_dir()
    # a damaged row of another run is left out
    next((tmp_path / "runs" / "a").glob("*.hparams")).write_bytes(b"\x00" * 30)
    row_of(tmp_path / "runs" / "b", "b", 0.2)
    update_columns(tmp_path / "runs" / "b", ["bleu"])
    assert "model.dropout" in {info.name for info in columns(tmp_path / "runs" / "b").hparam_infos}


def test_one_run_has_the_columns_and_no_file_beside_the_runs(tmp_path):
    for name in ("m", "b", "z"):
        row_of(tmp_path / name, name, len(name))
        (tmp_path / COLUMNS_FILE).write_bytes(b"")  # of an older version: TensorBoard would list a run "."
    row_of(tmp_path / "c", "c", 0.5)
    # TensorBoard takes any of several
    assert list(tmp_path.glob(f"**/{COLUMNS_FILE}")) == [tmp_path / "b" / COLUMNS_FILE]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anywhere")
def test_folders_that_may_not_be_read_are_left_out(tmp_path):
    runs = tmp_path / "runs"
    for name, dropout in (("a", 0.1), ("b", 0.2), ("private", 0.3)):
        row_of(runs / name, name, dropout)
    (runs / "private").chmod(0o000)
    (runs / COLUMNS_FILE).unlink()
    try:
        update_columns(runs / "b", ["bleu"])
        assert (runs / COLUMNS_FILE).exists()
        runs.chmod(0o300)
        update_columns(runs / "b", ["bleu"])
    finally:
        runs.chmod(0o700)
        (runs / "private").chmod(0o700)


@pytest.mark.parametrize(
    ("varied", "name"),
    [
        ({"model.dropout": "0.30000000000000004", "run.seed": "2"}, "dropout=0.3 seed=2"),
        ({"search.method": "beam", "tokenizer.method": "bpe"}, "search.method=beam tokenizer.method=bpe"),
    ],
)
def test_names_of_trials(varied, name):
    assert Trial(sweep=Path(), number=3, metric="bleu", varied=varied).name == name


def test_samples_mark_words_that_differ():
    assert marked_difference("the old lamp", "the *new* lamp here") == (
        "the **old** lamp",
        "the **\\*new\\*** lamp **here**",
    )
    assert marked_difference("一二三", "一四三") == ("一**二**三", "一**四**三")
    page = markdown("| a |\n|---|\n| " + marked_difference("a <b> | c", "a")[0] + " |", extensions=["tables"])
    assert "<strong>&#60;b&gt; | c</strong>" in page
