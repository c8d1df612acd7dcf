"""Sweeps: a grid without extras, and a search by Optuna that ends bad trials early."""

import json
import math
import signal
from importlib import import_module

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS

from event_files import columns, hparams_row
from forked import forked, waiting_in
from in_process import call_here
from small_runs import options, write_corpus
from translate.config.options import choices_of
from translate.config.study import distribution
from translate.config.sweep import run_trial
from translate.errors import DivergedError, UserError, import_extra
from translate.training.config import TrainConfig
from translate.training.stopping import Trial, read_trials


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def sweep(corpus, folder, *arguments, **changes):
    changes = {"run__max_steps": 10, "validation__every": 5, "run__save_every": 10, **changes}
    return call_here("train", "--multirun", *options(corpus, folder, **changes), *arguments)


def test_grid_trains_every_combination_and_resumes(corpus, tmp_path):
    result = sweep(corpus, tmp_path / "grid", model__dropout="0.0,0.1", optimizer__learning_rate="5e-3,1e-3")
    assert result.returncode == 0, result.stderr.decode()
    rows = read_trials(tmp_path / "grid")
    assert {(row["model.dropout"], row["optimizer.learning_rate"]) for row in rows} == {
        ("0.0", "0.005"),
        ("0.0", "0.001"),
        ("0.1", "0.005"),
        ("0.1", "0.001"),
    }
    assert {each["outcome"] for each in rows} == {"over"}
    for each in rows:
        result = json.loads((tmp_path / "grid" / f"trial-00{each['trial']}" / "result.json").read_text())
        assert float(each["loss"]) == pytest.approx(result["validation"]["loss"], abs=1e-4)
    varied = tmp_path / "grid" / "trial-002" / "learning_rate=0.001 dropout=0"
    title, values, status = hparams_row(varied)
    assert title == "002: learning_rate=0.001 dropout=0 (grid)"
    assert (values["model.dropout"], values["optimizer.learning_rate"], values["status"]) == (0.0, 0.001, "finished")
    assert status == STATUS_SUCCESS
    [first] = (tmp_path / "grid" / "trial-000").glob("learning_rate=*")
    shown = [info.name for info in columns(first).hparam_infos if info.differs]
    assert {"model.dropout", "optimizer.learning_rate", "test bleu"} < set(shown)
    assert len(shown) == 5
    results = sorted((tmp_path / "grid").glob("trial-00?/result.json"))
    assert len(results) == 4
    times = [path.stat().st_mtime_ns for path in results]
    again = sweep(corpus, tmp_path / "grid", model__dropout="0.0,0.1", optimizer__learning_rate="5e-3,1e-3")
    assert again.returncode == 0
    assert [path.stat().st_mtime_ns for path in results] == times
    assert read_trials(tmp_path / "grid") == rows
    best = max(rows, key=lambda row: float(row["bleu"]))
    assert f"best of 4: trial {best['trial']}, bleu" in again.stderr.decode()


def test_a_sweep_of_adaptations_resumes_with_the_base_model(corpus, tmp_path):
    short = {"run__max_steps": 2, "validation__every": 2, "run__save_every": 2, "averaging__last": 0}
    call_here("train", *options(corpus, tmp_path / "base", **short))
    sizes = ("d_model", "ffn_dim", "num_heads", "encoder_layers", "decoder_layers")
    short |= {f"model__{name}": None for name in sizes} | {"tokenizer__vocab_size": None, "recipe": None}
    short |= {"tokenizer__byte_fallback": None, "adapt": "full", "adapt__model": tmp_path / "base"}
    for _ in range(2):
        result = sweep(corpus, tmp_path / "sweep", **short, optimizer__learning_rate="1e-3,1e-4")
        assert result.returncode == 0, result.stderr.decode()
    assert len(read_trials(tmp_path / "sweep")) == 2
    missing = sweep(corpus, tmp_path / "other", **short | {"adapt__model": f"{tmp_path / 'base'},{tmp_path / 'none'}"})
    assert missing.returncode == 1
    assert not (tmp_path / "other").exists()  # found before the first trial


def test_wrong_setting_ends_the_sweep(corpus, tmp_path):
    result = sweep(corpus, tmp_path / "sweep", model__num_heads="3,2")
    assert result.returncode == 1
    assert "num_heads" in result.stderr.decode()
    assert "Traceback" not in result.stderr.decode()
    assert read_trials(tmp_path / "sweep") == []


def test_foreign_folder_is_refused_before_anything_is_written(corpus, tmp_path):
    (tmp_path / "thesis.tex").touch()
    result = sweep(corpus, tmp_path, model__dropout="0.0,0.1")
    assert result.returncode == 1
    assert result.stderr.decode() == (
        f"error: run.dir={tmp_path}: this folder is not a sweep's, and it is not empty: it holds thesis.tex; "
        "choose a new folder\n"
    )
    assert "Traceback" not in result.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_several_processes_are_refused(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = sweep(corpus, tmp_path / "sweep", model__dropout="0.0,0.1")
    assert result.stderr.decode().startswith("error: WORLD_SIZE=2 is set in the environment, RANK is not")
    for name, value in (("RANK", "0"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    result = sweep(corpus, tmp_path / "sweep", model__dropout="0.0,0.1")
    assert result.returncode == 1
    assert "without torchrun" in result.stderr.decode()


def trial(folder, number, **changes):
    return Trial(sweep=folder, number=number, metric="bleu", varied={"model.dropout": f"0.{number}"}, **changes)


def test_diverged_trial_fails_and_the_sweep_continues(tmp_path):
    def diverge(config, trial):
        raise DivergedError("the gradient was not finite")

    assert math.isnan(run_trial(TrainConfig(), trial(tmp_path, 0), diverge))
    assert run_trial(TrainConfig(), trial(tmp_path, 1), lambda config, trial: 20.0) == 20.0
    assert [row["outcome"] for row in read_trials(tmp_path)] == ["failed", "over"]
    assert "best of 3: trial 1, bleu 20.00" in trial(tmp_path, 2).record(10.0)


def test_a_sweep_in_which_every_trial_diverges_is_no_success(corpus, tmp_path):
    diverging = {"optimizer__clip_norm": 0, "schedule__warmup_steps": 1, "run__max_skipped": 3}
    result = sweep(corpus, tmp_path / "sweep", optimizer__learning_rate="1e7,1e8", **diverging)
    assert result.returncode == 1
    assert result.stderr.decode().splitlines()[-1] == (
        "error: training has diverged in every trial; sweep lower values of optimizer.learning_rate"
    )
    assert [row["outcome"] for row in read_trials(tmp_path / "sweep")] == ["failed", "failed"]


class PrunesAll:
    """A pruner that ends every trial early, and remembers what it was told."""

    def __init__(self):
        self.reports = []

    def report(self, value, step):
        self.reports.append((step, value))

    def should_prune(self):
        return True


def test_trial_at_its_last_step_is_over_and_not_pruned(tmp_path):
    bad = trial(tmp_path, 0, pruner=PrunesAll())
    bad.report(10, 1.0, at_end=False)
    assert bad.pruned
    bad.report(20, 2.0, at_end=True)
    assert bad.pruner.reports == [(10, 1.0), (20, 2.0)]
    assert "trial 0 over" in bad.record(1.0)


def test_lower_loss_breaks_ties_between_trials(tmp_path):
    header = "trial\tbleu\toutcome\tmodel.dropout"
    (tmp_path / "trials.tsv").write_text(f"{header}\n7\t0.0000\tover\t0.7\n")  # of an older version
    for number, loss, best in ((0, 6.2, 0), (1, 5.3, 1), (2, 5.4, 1), (3, math.nan, 1)):
        own = trial(tmp_path, number)
        own.loss = loss
        assert f"best of {number + 2}: trial {best}, bleu 0.00" in own.record(0.0)
    assert "trial 4, bleu 0.01" in trial(tmp_path, 4).record(0.01)
    assert [row["loss"] for row in read_trials(tmp_path)] == ["6.2000", "5.3000", "5.4000", "nan", "", ""]


def test_trial_ended_by_a_signal_is_not_recorded(tmp_path):
    assert run_trial(TrainConfig(), trial(tmp_path, 0), lambda config, trial: None) is None
    assert read_trials(tmp_path) == []


def test_a_missing_extra_is_named():
    with pytest.raises(UserError, match=r"sweep=optuna needs .*pip install 'translate-seq2seq\[sweep\]'"):
        import_extra("optuna_of_nobody", extra="sweep", purpose="sweep=optuna")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("x=interval(0.0,0.4)", "FloatDistribution(high=0.4, log=False, low=0.0, step=None)"),
        ("x=tag(log,interval(1e-4,1e-2))", "FloatDistribution(high=0.01, log=True, low=0.0001, step=None)"),
        ("x=int(interval(2,6))", "IntDistribution(high=6, log=False, low=2, step=1)"),
        ("x=range(2,7,2)", "IntDistribution(high=6, log=False, low=2, step=2)"),
        ("x=range(0.1,0.35,0.1)", "FloatDistribution(high=0.3, log=False, low=0.1, step=0.1)"),
        ("x=choice(128,192)", "CategoricalDistribution(choices=(128, 192))"),
        ("x=adamw,muon", "CategoricalDistribution(choices=('adamw', 'muon'))"),
        ("auxiliary=choice([r_drop],[])", "CategoricalDistribution(choices=('[r_drop]', '[]'))"),
        ("model=glob(lstm*)", "CategoricalDistribution(choices=('lstm_attention', 'lstm_plain'))"),
    ],
)
def test_sweeps_of_the_command_line_become_distributions(word, expected):
    pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
    assert repr(distribution(OverridesParser.create().parse_override(word), choices_of)) == expected


@pytest.mark.parametrize(
    "lines",
    [
        ["defaults:", "  - override /hydra/sweeper: optuna"],
        ["hydra:", "  sweeper:", "    params:", "      model.dropout: choice(0.1, 0.2)"],
    ],
    ids=["sweeper", "params"],
)
def test_a_yaml_sweep_of_earlier_versions_is_refused(corpus, tmp_path, lines):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text("\n".join(["# @package _global_", *lines, ""]))
    words = ["--multirun", f"--config-dir={tmp_path}", "sweep=mine"]
    result = call_here("train", *options(corpus, tmp_path / "search"), *words)
    assert result.returncode == 1
    assert b"write sweep.method, sweep.trials and sweep.params instead;" in result.stderr
    assert not (tmp_path / "search").exists()


def test_optuna_without_multirun_is_refused(corpus, tmp_path):
    pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
    result = call_here("train", *options(corpus, tmp_path / "run"), "sweep=optuna")
    assert result.returncode == 1
    assert "add --multirun" in result.stderr.decode()
    assert not (tmp_path / "run").exists()


def test_optuna_prunes_trials_and_resumes_its_study(corpus, tmp_path):
    optuna = pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
    arguments = [
        "sweep=optuna",
        "pruning.trials=1",
        "pruning.validations=1",
        # nothing is learned with the second
        "optimizer.learning_rate=choice(5e-3,1e-9)",
        "sweep.seed=3",
    ]
    changes = {"validation__metric": "loss", "optimizer__learning_rate": None, "run__max_steps": 20}
    result = sweep(corpus, tmp_path / "search", *arguments, "sweep.trials=4", name="search", **changes)
    assert result.returncode == 0, result.stderr.decode()
    rows = read_trials(tmp_path / "search")
    rates = [float(row["optimizer.learning_rate"]) for row in rows]
    first_good = rates.index(5e-3)
    assert set(rates[first_good:]) == {5e-3, 1e-9}
    for rate, row in list(zip(rates, rows, strict=True))[first_good:]:
        if rate == 1e-9:
            assert row["outcome"] == "ended early"
            assert not (tmp_path / "search" / f"trial-{int(row['trial']):03}" / "evaluation").exists()
    more = sweep(corpus, tmp_path / "search", *arguments, "sweep.trials=1", name="search", **changes)
    assert more.returncode == 0, more.stderr.decode()
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path}/search/study.db")
    assert [one.state.name for one in study.trials] == ["COMPLETE"] * 5
    assert list(study.trials[first_good].intermediate_values) == [5, 10, 15, 20]
    for one, row in zip(study.trials, read_trials(tmp_path / "search"), strict=True):
        assert one.value == pytest.approx(float(row["loss"]), abs=1e-4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_search_continues_the_trial_that_was_interrupted_or_killed(corpus, tmp_path, number):
    optuna = pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
    import_module("translate.train")  # before the fork
    folder = tmp_path / "search"
    arguments = ["--multirun", "sweep=optuna", "hydra.sweeper.n_trials=1", "model.d_model=32"]
    changes = {"name": "search", "optimizer__learning_rate": None, "validation__every": 5, "run__save_every": 5}
    settings = options(corpus, folder, run__max_steps=100_000, **changes)
    with forked(tmp_path, "train", *settings, *arguments) as process:
        process.wait_until(lambda: list(folder.glob("trial-000/state/step-????????")))
        process.send(number)
        assert process.end() in (128 + number, -number)
        assert "Traceback" not in process.said()
    assert read_trials(folder) == []
    saved = max(int(path.name.removeprefix("step-")) for path in folder.glob("trial-000/state/step-????????"))
    result = call_here("train", *options(corpus, folder, run__max_steps=saved + 10, **changes), *arguments)
    assert result.returncode == 0, result.stderr.decode()
    assert f"continuing from step {saved:,}".encode() in result.stderr
    assert b"already reported" not in result.stderr
    assert b"warning: hydra.sweeper.n_trials is an option of earlier versions; write sweep.trials=1\n" in result.stderr
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{folder}/study.db")
    assert [one.state.name for one in study.trials] == ["COMPLETE"]
    assert [row["trial"] for row in read_trials(folder)] == ["0"]


def test_a_trial_that_fails_by_an_error_is_not_tried_again(corpus, tmp_path):
    optuna = pytest.importorskip("optuna", reason="the extra [sweep] is not installed")
    arguments = ["sweep=optuna", "sweep.trials=1", "model.num_heads=choice(3,5)"]  # of model.d_model=32
    changes = {"name": "search", "optimizer__learning_rate": None, "model__num_heads": None}
    for _ in range(2):
        assert sweep(corpus, tmp_path / "search", *arguments, **changes).returncode == 1
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path}/search/study.db")
    assert [one.state.name for one in study.trials] == ["FAIL", "FAIL"]


def test_a_signal_stops_a_grid_which_continues_with_its_trial(corpus, tmp_path):
    import_module("translate.train")
    folder, words = tmp_path / "grid", ["--multirun", "optimizer.learning_rate=1e-3,2e-3"]
    changes = {"run__max_steps": 10, "validation__every": 5, "run__save_every": 10, "optimizer__learning_rate": None}
    change = waiting_in("training.step", "train_step", call=16)  # the sixth of the second trial
    with forked(tmp_path, "train", *options(corpus, folder, **changes), *words, before=change) as process:
        process.wait_for("here")
        process.send(signal.SIGHUP)
        assert process.end() == 128 + signal.SIGHUP, process.said()
    assert [row["trial"] for row in read_trials(folder)] == ["0"]
    result = call_here("train", *options(corpus, folder, **changes), *words)
    assert result.returncode == 0, result.stderr.decode()
    assert [(row["trial"], row["outcome"]) for row in read_trials(folder)] == [("0", "over"), ("1", "over")]
    assert "continuing from step 6," in (folder / "trial-001" / "train.log").read_text(encoding="utf-8")
