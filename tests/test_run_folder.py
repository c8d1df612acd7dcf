"""A run's folder is a run's alone: no foreign files are in it, and one process at a time works on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from small_data import SOURCE, TARGET, make_data
from translate.config.sweep import sweep_folder
from translate.distributed import World
from translate.errors import UserError
from translate.files import expand_home, json_text, to_plain
from translate.folders import MARKER, is_marked, mark
from translate.locks import ProcessLock
from translate.models import TransformerConfig
from translate.train import train
from translate.training.back_translation import back_translate
from translate.training.changes import open_run
from translate.training.config import BackTranslationConfig, RunConfig, TrainConfig
from translate.training.run_folder import RUN_KIND, RunFolder
from translate.training.saved_states import saved_states


def opened(path: Path) -> None:
    with RunFolder(path) as folder:
        open_run(folder, TrainConfig(), World())


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("precious")
    return folder


def make_run(folder: Path) -> Path:
    """As earlier versions leave it, without a marker."""
    make(folder, "train.log", "best/weights.safetensors", "result.json")
    make(folder, *(f"state/step-00000010/{name}" for name in ("weights.safetensors", "training.pt", "progress.json")))
    (folder / "config.yaml").write_text(yaml.safe_dump(to_plain(TrainConfig())))
    (folder / "manifest.json").write_text(json_text({"data": "0123", "tokenizer": "4567"}))
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ["tokenizer.model", "data_report.md", "best/photo", "state/x"],
        ["thesis.tex"],
        ["train.log"],
        ["config.yaml", "docker-compose.yaml"],
        ["reverse/x", "letter"],
    ],
)
def test_foreign_folder_is_refused_and_unchanged(tmp_path, names):
    folder = make(tmp_path / "own", *names)
    before = contents(folder)
    with pytest.raises(UserError, match=r"run\.dir=.*own: this folder is not a run's, and it is not empty: it holds "):
        opened(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("names", [["config.yaml"], ["config.yaml", "manifest.json", "best/photo"]])
def test_foreign_files_with_names_of_run_files_are_unchanged(tmp_path, names):
    folder = make(tmp_path / "own", *names)
    for content in ("precious", "run: fast\n"):
        (folder / "config.yaml").write_text(content)
        before = contents(folder)
        with pytest.raises(UserError, match=r"config\.yaml is damaged or not a run's configuration"):
            opened(folder)
        assert contents(folder) == before


def test_model_directory_is_refused_as_run_folder(tmp_path):
    folder = make(tmp_path / "model", "model.yaml", "weights.safetensors", "manifest.json", "tokenizer.model")
    with pytest.raises(
        UserError, match=r"is a model directory, .* adapt=full adapt\.model=.*model trains this model further"
    ):
        opened(folder)
    run = make_run(tmp_path / "run")
    (run / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"config\.yaml, which describes this run, is missing"):
        opened(run)


def test_new_earlier_and_failed_runs_are_opened_and_marked(tmp_path):
    make(tmp_path / "failed", "train.log")
    mark(tmp_path / "failed", RUN_KIND)
    make_run(tmp_path / "earlier")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("earlier")
    for name in ("new", "new", "failed", "earlier", "empty", "link"):
        folder = tmp_path / name
        before = contents(folder)
        opened(folder)
        assert is_marked(folder, RUN_KIND), name
        assert before.items() <= contents(folder).items(), name


def test_damaged_files_of_a_run_are_named(tmp_path):
    run = make_run(tmp_path / "run")
    for content in ("", "a: [", "- x"):
        (run / "config.yaml").write_text(content)
        with pytest.raises(UserError, match=r"config\.yaml is damaged"):
            opened(run)
    run = make_run(tmp_path / "other")
    (run / "manifest.json").write_text("")
    (run / "tokenizer.model").touch()
    with pytest.raises(UserError, match=r"manifest\.json: not JSON"):
        RunFolder(run).tokenizer()


def test_empty_folder_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"run\.dir is empty"):
        TrainConfig(run=RunConfig(dir="", max_steps=1)).check()
    with pytest.raises(UserError, match=r"run\.dir is empty"):
        sweep_folder("")
    assert not list(tmp_path.iterdir())


def test_tilde_expands_to_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    config = TrainConfig(run=RunConfig(dir="~/runs/x"))
    config.data.train.source = "~/text/train.en"
    config.data.additional = [config.data.train]
    config.tokenizer.user_symbols = ["~", "~x", "a~/b"]
    meant = expand_home(config)
    assert meant.run.dir == "/home/somebody/runs/x"
    assert meant.data.train.source == meant.data.additional[0].source == "/home/somebody/text/train.en"
    assert meant.tokenizer.user_symbols[1:] == ["~x", "a~/b"]


def test_a_run_whose_states_are_gone_is_refused_and_unchanged(tmp_path):
    """Started anew, it would replace best/ and last/."""
    finished = make_run(tmp_path / "finished")
    shutil.rmtree(finished / "state" / "step-00000010")
    stopped = make_run(tmp_path / "stopped")
    (stopped / "result.json").unlink()
    make(stopped, "last/weights.safetensors")
    shutil.rmtree(stopped / "state")
    (stopped / "state").symlink_to("a disk that is not there")
    for run in (finished, stopped):
        before = contents(run)
        with pytest.raises(UserError, match=r"run\.dir=.*: its states are missing \(.*/state\), .*; bring them back"):
            opened(run)
        assert before.items() <= contents(run).items()


@pytest.mark.parametrize(
    "name", ["best", "last", "average", "best_models", "state", "evaluation", "validation", "tensorboard"]
)
def test_a_file_where_a_run_has_a_folder_is_named_before_training(tmp_path, name):
    run = make_run(tmp_path / "run")
    shutil.rmtree(run / name, ignore_errors=True)
    make(run, name)
    with pytest.raises(UserError, match=f"run/{name} is a file, and a run has a folder of that name: move the file"):
        opened(run)
    assert (run / name).read_text() == "precious"


def test_what_a_killed_start_has_left_is_not_foreign(tmp_path):
    folder = make(tmp_path, ".made-by-translate-seq2seq.0123abcd.partial", ".lock.json.0123abcd.partial", ".writable-7")
    opened(folder)
    make(tmp_path / "own", "letter.0123abcd.partial")
    with pytest.raises(UserError, match=r"it holds letter\.0123abcd\.partial"):
        opened(tmp_path / "own")
    assert sweep_folder(str(make(tmp_path / "sweep", ".made-by-translate-seq2seq.0123abcd.partial")))


def test_a_marker_with_anything_else_is_none(tmp_path):
    for content in ('{"kinds": 5}', '{"kinds": null}', "[]", "\0"):
        (tmp_path / MARKER).write_text(content)
        assert not is_marked(tmp_path, RUN_KIND)


def test_running_process_is_named_to_the_second_one(tmp_path):
    run = make_run(tmp_path / "run")
    code = (
        "import time; from pathlib import Path; from translate.training.run_folder import RunFolder\n"
        f"RunFolder(Path({str(run)!r})).claim(); print('open', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    try:
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(
            UserError, match=rf"at work on this run \(pid {process.pid} on {os.uname().nodename}, since"
        ):
            opened(run)
        # from any folder and by any name
        (tmp_path / "link").symlink_to("run")
        with pytest.raises(UserError, match="another process is at work"):
            opened(tmp_path / "link")
    finally:
        process.kill()
        process.communicate()
    opened(run)


def test_interrupted_replacements_are_removed_and_user_copies_kept(tmp_path):
    run = make_run(tmp_path / "run")
    shutil.copytree(run / "state" / "step-00000010", run / "state" / "step-00000010-good")
    make(run, "best.old/photo", "state/step-00000020.0123abcd.new/training.pt", "last.0123abcd.old/model.yaml")
    make(run, "notes.0123abcd.old/letter")
    opened(run)
    assert {path.name for path in (run / "state").iterdir()} == {"step-00000010", "step-00000010-good"}
    assert (run / "last" / "model.yaml").exists()
    assert (run / "best.old" / "photo").exists()
    assert (run / "notes.0123abcd.old" / "letter").exists()


def test_only_complete_states_with_eight_digits_are_listed(tmp_path):
    files = ("weights.safetensors", "training.pt", "progress.json")
    good = ["step-00000010", "step-00000020"]
    for name in (*good, "step-00000020-good", "step-best", "step-000000200", "step-२०२०२०२०", "step-00000020.old"):
        make(tmp_path, *(f"{name}/{file}" for file in files))
    make(tmp_path, "step-00000030/weights.safetensors")
    make(tmp_path, "step-00000040")
    assert [state.name for state in saved_states(tmp_path)] == good


def test_sweep_folder_is_refused_as_run_folder(tmp_path):
    assert sweep_folder(str(tmp_path / "new")) == tmp_path / "new"
    make(tmp_path / "new", "multirun.yaml", "notes.txt")
    sweep_folder(str(tmp_path / "new"))
    sweep_folder(str(make(tmp_path / "earlier", "trials.tsv", "study.db", "trial-000/config.yaml", "multirun.yaml")))
    with pytest.raises(UserError, match=r"this folder is not a sweep's, .* it holds thesis\.tex"):
        sweep_folder(str(make(tmp_path / "own", "multirun.yaml", "thesis.tex")))
    with pytest.raises(UserError, match="this folder is not a sweep's"):
        sweep_folder(str(make_run(tmp_path / "run")))
    with pytest.raises(UserError, match=r"this folder is not a sweep's, .* it holds trials\.tsv"):
        sweep_folder(str(make(tmp_path / "table", "trials.tsv")))
    with pytest.raises(UserError, match=r"run\.dir=.*table/trials\.tsv: that is a file; name a folder"):
        sweep_folder(str(tmp_path / "table" / "trials.tsv"))
    with pytest.raises(UserError, match="this folder is not a run's"):
        opened(tmp_path / "new")


def test_back_translation_keeps_foreign_files(tmp_path):
    (tmp_path / "mono").write_text("a\n")
    folder = make(tmp_path / "run", "synthetic/my_corpus.txt")
    config = TrainConfig(
        data=make_data(tmp_path, SOURCE, TARGET),
        model=TransformerConfig(),
        run=RunConfig(dir=str(folder), max_steps=1),
        back_translation=BackTranslationConfig(monolingual=str(tmp_path / "mono")),
    )
    with pytest.raises(UserError, match=r"synthetic holds my_corpus\.txt"):
        back_translate(config, train=train)
    assert (folder / "synthetic" / "my_corpus.txt").read_text() == "precious"
    assert not (folder / "reverse").exists()
    config.run.dir = str(make(tmp_path / "own", "reverse/photo"))
    with pytest.raises(UserError, match="reverse: this folder is not a run's"):
        back_translate(config, train=train)
    lock = ProcessLock(folder / ".lock")
    assert lock.acquire()  # nothing is held after an error
    lock.release()
    os.mkfifo(tmp_path / "pipe")
    config.back_translation.monolingual = str(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"back_translation\.monolingual=.*: a pipe cannot be read twice"):
        back_translate(config, train=train)
