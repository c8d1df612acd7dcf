"""Sweeps whose folder was damaged or belongs to another sweep: no score is taken for that of other settings."""

import shutil
from pathlib import Path

import pytest

from in_process import call_here
from small_runs import options, write_corpus
from translate.config.sweep import _sets
from translate.training.config import TrainConfig
from translate.training.stopping import read_trials

RATES = {"optimizer__learning_rate": "5e-3,1e-3"}
INTERVAL = "optimizer.learning_rate=interval(1e-3,5e-3)"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=200)


def sweep(corpus: Path, folder: Path, *arguments: str, **changes: object) -> str:
    """What a sweep says on stderr."""
    short = {"run__max_steps": 2, "validation__every": 2, "run__save_every": 2, "averaging__last": 0}
    result = call_here("train", "--multirun", *options(corpus, folder, **short, **changes), *arguments)
    said = result.stderr.decode()
    assert "Traceback" not in said
    assert (result.returncode == 1) == ("error: " in said)
    return said


def search(corpus: Path, folder: Path, interval: str = INTERVAL, trials: int = 1, **changes: object) -> str:
    words = ["sweep=optuna", f"sweep.trials={trials}", "sweep.params={}", interval]
    return sweep(corpus, folder, *words, name="search", optimizer__learning_rate=None, **changes)


@pytest.fixture(scope="module")
def grid(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "grid"
    sweep(corpus, folder, **RATES)
    return folder


@pytest.fixture(scope="module")
def study(corpus, tmp_path_factory):
    pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
    folder = tmp_path_factory.mktemp("sweep") / "search"
    search(corpus, folder)
    return folder


def test_a_run_is_no_trial_of_other_settings(corpus, grid):
    """A run accepts another learning rate, but its score is not that of the new one."""
    before = read_trials(grid)
    said = sweep(corpus, grid, optimizer__learning_rate="2e-3,1e-3")
    assert (
        f"error: run.dir={grid}/trial-000: this run has optimizer.learning_rate=0.005, and trial 0 of this sweep "
        "0.002; choose another run.dir for another sweep\n"
    ) in said
    said = sweep(corpus, grid, "schedule.name=cosine,inverse_sqrt")
    assert "trial-000: this run has schedule.name=warmup_stable_decay, and trial 0 of this sweep cosine" in said
    assert read_trials(grid) == before


def test_configurations_in_another_order_are_no_trials_of_the_first(tmp_path):
    """experiment=a,b continued as experiment=b,a: the option is no setting, and each sets others."""
    config = TrainConfig()
    assert _sets("experiment", "optimizer.learning_rate", config)
    assert not _sets("experiment", "run.max_steps", config), "which may be raised"
    assert not _sets("optimizer.learning_rate", "model.dropout", config)


@pytest.mark.parametrize(
    "damage",
    [
        lambda table: b"",
        lambda table: table[: len(table) // 2],
        lambda table: table.partition(b"\n")[2],
        lambda table: bytes(range(256)) * 3,
        lambda table: table.replace(b"\n0\t", b"\nzero\t"),
        lambda table: table.replace(b"\n", b"\tmore\tcells\n"),
    ],
)
def test_a_damaged_table_of_trials_is_written_again(corpus, grid, tmp_path, damage):
    table = (grid / "trials.tsv").read_bytes()
    folder = shutil.copytree(grid, tmp_path / "grid")
    (folder / "trials.tsv").write_bytes(damage(table))
    assert "best of 2: trial" in sweep(corpus, folder, **RATES)
    rows = read_trials(folder)
    known = [{key: value for key, value in row.items() if key in read_trials(grid)[0]} for row in rows]
    assert known == read_trials(grid)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "trial-000 has a run, but the study has no such trial"),
        (b"", "trial-000 has a run, but the study has no such trial"),
        (
            b"no database",
            "study.db: the study cannot be used: (sqlite3.DatabaseError) file is not a database; bring it",
        ),
    ],
)
def test_a_damaged_or_lost_study_is_named_and_no_run_is_taken_for_its_trial(corpus, study, tmp_path, content, message):
    folder = shutil.copytree(study, tmp_path / "search")
    rows = (folder / "trials.tsv").read_bytes()
    (folder / "study.db").unlink()
    if content is not None:
        (folder / "study.db").write_bytes(content)
    assert message in search(corpus, folder)
    assert (folder / "trials.tsv").read_bytes() == rows


def test_a_study_keeps_its_metric_and_its_values(corpus, study):
    said = search(corpus, study, validation__metric="loss")
    assert "validation.metric=loss: the study of this folder has scores by bleu, which cannot be compared" in said
    said = search(corpus, study, interval="optimizer.learning_rate=choice(1e-3,5e-3)")
    assert "error: optimizer.learning_rate: the study of this folder searches other values, FloatDistribution" in said
    said = search(corpus, study, sweep__storage="nowhere")
    assert "error: sweep.storage=nowhere: the study cannot be used: Could not parse SQLAlchemy URL" in said
    assert "best of 2: trial" in search(corpus, study)


def test_the_draw_of_a_trial_depends_on_its_number_and_not_on_the_session(corpus, study, tmp_path):
    """Sessions that begin at the same time drew the same trials."""
    one, two = (shutil.copytree(study, tmp_path / name) for name in ("one", "two"))
    search(corpus, one, trials=2)
    for _ in range(2):
        search(corpus, two)
    drawn = [row["optimizer.learning_rate"] for row in read_trials(one)]
    assert len(set(drawn)) == len(drawn)
    assert drawn == [row["optimizer.learning_rate"] for row in read_trials(two)]


def test_a_reference_to_an_option_that_is_not_there_is_one_line(corpus, tmp_path):
    assert sweep(corpus, tmp_path, "run.max_steps=${nowhere}") == (
        "error: run.max_steps: Interpolation key 'nowhere' not found\n"
    )
