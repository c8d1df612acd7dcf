"""A start that cannot work ends with one line, before any work, and leaves nothing behind that hinders the next one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from in_process import call_here
from small_runs import options, register_train, write_corpus
from translate.config.command import compose, to_dataclass
from translate.config.command_line import read_command_line
from translate.device import Device, Gpus, choose_device, tune_process
from translate.errors import UserError
from translate.evaluate import EvaluateConfig
from translate.files import expand_home
from translate.training.config import TrainConfig
from translate.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=100)


def refused(module: str, *arguments: str) -> str:
    """The only line of a command that must fail."""
    result = call_here(module, *arguments)
    assert result.returncode == 1
    message = result.stderr.decode()
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    return message.strip()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("run.seed=-1", "run.seed (-1) must be at least 0"),
        (f"run.seed={2**70}", "run.seed must be an integer of at most 64 bits"),
        (f"run.seed={'9' * 5000}", "run.seed: a number with thousands of digits"),
        ("run.seed=\udcff", r"'run.seed=\udcff': options and file names must be UTF-8"),
        ("model.d_model=400000", " GiB of memory, and there are "),
        ("tokenizer.vocab_size=1000000000 model.d_model=20000", "tokenizer.vocab_size=1000000000"),
        ("tokenizer.joint=false", "model.tying=all needs one vocabulary"),
        ("compute.threads=100000", "compute.threads (100000) must be at least 0 and at most 1024"),
        ("search.beam_size=100000 search.method=beam", "search.beam_size (100000) must be at most the size of the vo"),
        ("search.length_penalty=inf", "search.length_penalty (inf) must be a finite number"),
        ("model.dropout=0.999", "model.dropout (0.999) must be at least 0.0 and at most 0.99"),
        ("data.train.source=nowhere", "data.train.source=nowhere: no such file (from "),
        ("data.train.source=/", "data.train.source=/: that is a folder; name a file"),
        ("data.valid.source=/dev/zero", "data.valid.source=/dev/zero: a device cannot be read twice"),
        ("data.cache=", "data.cache is empty"),
        ("back_translation.tag=x", "back_translation.tag='x': a tag has two or more characters"),
    ],
)
def test_a_start_that_fails_makes_no_folder(corpus, tmp_path, word, expected):
    assert expected in refused("train", *options(corpus, tmp_path / "run"), *word.split(" "))
    assert not (tmp_path / "run").exists()


def test_a_pipe_is_refused_as_a_corpus(corpus, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for key in ("data__train__source", "data__valid__target", "data__test__labels"):
        message = refused("train", *options(corpus, tmp_path / "run", **{key: tmp_path / "pipe"}))
        assert f"{key.replace('__', '.')}={tmp_path / 'pipe'}: a pipe cannot be read twice" in message
    assert not (tmp_path / "run").exists()


def test_a_start_that_failed_on_its_data_does_not_hinder_the_next(corpus, tmp_path):
    changes = {"run__max_steps": 2, "validation__every": 2, "averaging__last": 0}
    wrong = {"data__valid__source": corpus / "train.src"}
    assert "same number of lines" in call_here("train", *options(corpus, tmp_path / "run", **wrong)).stderr.decode()
    assert call_here("train", *options(corpus, tmp_path / "run", **changes)).returncode == 0
    assert (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "a=b#c",
        "it's",
        'q"q',
        "new\nline",
        "Ünï😀",
        "x" * 255,
        "-first",
        "{a}",
        "[a]",
        "$x",
        "end ",
        "'q'",
        "a:b\\",
    ],
)
def test_a_run_folder_may_have_any_name(tmp_path, name):
    register_train()
    line = read_command_line(TrainConfig, [f"run.dir={tmp_path / name}", "data=text_files"], list)
    config = to_dataclass(compose("train", line.overrides), {})
    assert config.run.dir == str(tmp_path / name)
    with RunFolder(config.run.dir) as folder:
        folder.open()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_folder_that_cannot_be_is_refused_and_unchanged(tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to("nothing")
    for path, expected in (
        (tmp_path / "file", "that is a file, or a link to nothing"),
        (tmp_path / "link", "that is a file, or a link to nothing"),
        (Path("/dev/null"), "that is a file, or a link to nothing"),
        (tmp_path / "file" / "below", "cannot be written: Not a directory"),
        (tmp_path / ("x" * 256), "cannot be written: File name too long"),
    ):
        with pytest.raises(UserError, match=rf"^run\.dir[=:].*[: ]{expected}"), RunFolder(path) as folder:
            folder.open()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]
    assert (tmp_path / "file").read_text() == "precious"


def test_the_output_of_other_commands_is_a_folder(corpus, tmp_path):
    (tmp_path / "file").touch()
    data = [word for word in options(corpus, tmp_path) if word.startswith(("data", "tokenizer"))]
    expected = f"error: output={tmp_path / 'file'}: that is a file, or a link to nothing; name a folder"
    assert refused("prepare", *data, f"output={tmp_path / 'file'}") == expected
    files = [f"source={corpus / 'test.src'}", f"reference={corpus / 'test.tgt'}"]
    assert refused("evaluate", "model=m", *files, f"output={tmp_path / 'file'}") == expected


def test_home_is_found_in_lists_and_not_in_symbols(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    config = EvaluateConfig(model="~/m", source="~/s", reference=["~/a", "~/b"], tag="~/x", output="~/o")
    found = expand_home(config)
    assert found.references == ["/home/somebody/a", "/home/somebody/b"]
    assert (found.model, found.output, found.tag) == ("/home/somebody/m", "/home/somebody/o", "~/x")
    train = TrainConfig()
    train.tokenizer.user_symbols = ["~"]
    train.back_translation.monolingual = "~/mono"
    found = expand_home(train)
    assert found.tokenizer.user_symbols == ["~"]
    assert found.back_translation.monolingual == "/home/somebody/mono"


def test_a_home_that_there_is_not_is_named():
    with pytest.raises(UserError, match=r"~nobody\.here/x: unknown user .* write \./~nobody\.here/x"):
        expand_home(EvaluateConfig(model="~nobody.here/x", source="s", reference="r"))


def test_odd_environment_variables_are_named(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    with pytest.raises(UserError, match=r"OMP_NUM_THREADS \(100000\) must be at least 0 and at most 1024"):
        tune_process(0)
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    tune_process(0)
    monkeypatch.setenv("LOCAL_RANK", "first")
    with pytest.raises(UserError, match="LOCAL_RANK=first in the environment is not a number"):
        choose_device(Device.cuda, gpus=Gpus(1))
