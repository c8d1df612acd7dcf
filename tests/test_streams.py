"""Streams that are closed, whose reader leaves, whose terminal goes, or that are not UTF-8."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forked import CLOSED, fork_command
from small_runs import command, environment, options
from trained_model import trained_model
from translate.files import write_text

NULL = os.open(os.devnull, os.O_RDWR)


@pytest.fixture(scope="module")
def model() -> Path:
    return trained_model()


@pytest.fixture
def words(model: Path, tmp_path: Path) -> dict[str, list[str]]:
    """Arguments of commands for short work."""
    corpus = model.parent / "corpus"
    source, reference = corpus / "test.src", corpus / "test.tgt"
    ends = {"source": "src", "target": "tgt"}
    sets = ("train", "valid", "test")
    data = [f"data.{name}.{side}={corpus / name}.{end}" for name in sets for side, end in ends.items()]
    given = [f"model={model}", "threads=1", "workers=1"]
    return {
        "decode": [*given, f"input={source}", f"output={tmp_path / 'out'}"],
        "evaluate": [*given, f"source={source}", f"reference={reference}", f"output={tmp_path / 'report'}"],
        "compare": [f"reference={reference}", f"baseline={model / 'evaluation/hypotheses.txt'}", "bootstrap=0"],
        "prepare": [
            *data,
            f"data.cache={corpus / 'cache'}",
            "tokenizer.vocab_size=22",
            "tokenizer.byte_fallback=false",
            f"output={tmp_path / 'data'}",
        ],
    }


def dead_pipe() -> int:
    """A pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def run(folder: Path, module: str, *arguments: str, **settings) -> tuple[int, str, str]:
    """Status, standard output and error; streams that are not given are files."""
    with open(folder / "stdout", "w+b") as out, open(folder / "stderr", "w+b") as err:
        settings = {"stdin": NULL, "stdout": out.fileno(), "stderr": err.fileno()} | settings
        status = fork_command(module, *arguments, **settings).end()
        encoding = settings.get("encoding", "utf-8")
        return status, (folder / "stdout").read_text(encoding), (folder / "stderr").read_text(encoding)


@pytest.mark.parametrize(
    ("streams", "options", "message"),
    [
        ({"stdin": CLOSED}, ["input=-"], "error: standard input is closed; name a file: input=FILE\n"),
        ({"stdout": CLOSED}, ["output=-"], "error: standard output is closed; name a file: output=FILE\n"),
        ({"stdout": CLOSED}, [], None),
        ({"stderr": CLOSED}, [], None),
        ({"stdin": CLOSED, "stdout": CLOSED, "stderr": CLOSED}, [], None),
        ({"stderr": dead_pipe}, [], None),
        ({"stderr": "/dev/full"}, [], None),
        ({"stdout": dead_pipe}, ["output=-"], None),
        (
            {"stdout": "/dev/full"},
            ["output=-"],
            "error: standard output: No space left on device; not all output was written\n",
        ),
    ],
)
def test_decode_with_streams_that_cannot_be_used(words, tmp_path, streams, options, message):
    opened = {
        name: stream() if callable(stream) else os.open(stream, os.O_RDWR) if isinstance(stream, str) else stream
        for name, stream in streams.items()
    }
    status, _, stderr = run(tmp_path, "decode", *words["decode"], "progress=true", *options, **opened)
    if message:
        # whatever was noted before, the error is the last line, and there is no other
        assert (status, stderr[-len(message) :]) == (1, message)
        assert "Traceback" not in stderr
        assert "Exception" not in stderr
    else:
        assert (status, "rror" in stderr) == (0, False)
        assert options or (tmp_path / "out").read_bytes().count(b"\n") == 20


@pytest.mark.parametrize("module", ["decode", "evaluate", "compare", "prepare"])
def test_every_command_does_its_work_without_streams(words, tmp_path, module):
    status, _, _ = run(tmp_path, module, *words[module], stdin=CLOSED, stdout=dead_pipe(), stderr=dead_pipe())
    assert status == 0
    status, _, stderr = run(tmp_path, module, *words[module], stdin=CLOSED, stdout=CLOSED)
    # a comparison has no other output
    assert status == (module == "compare"), stderr
    assert ("error: standard output is closed; the scores are printed there\n" in stderr) == (module == "compare")
    made = {
        "decode": "out",
        "evaluate": "report/report.json",
        "prepare": "data/data_report.md",
    }
    assert module == "compare" or (tmp_path / made[module]).stat().st_size


@pytest.mark.parametrize("module", ["evaluate", "compare", "prepare"])
def test_results_on_a_full_disk_are_an_error(words, tmp_path, module):
    status, _, stderr = run(tmp_path, module, *words[module], stdout=os.open("/dev/full", os.O_WRONLY))
    assert status == 1
    assert stderr.endswith("error: standard output: No space left on device; not all output was written\n")
    assert "Traceback" not in stderr
    assert "Exception" not in stderr


def test_help_on_a_full_disk_is_an_error():
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "translate", "--help"], stdout=full, stderr=subprocess.PIPE, env=environment()
        )
    assert process.returncode == 1
    assert process.stderr == b"error: standard output: No space left on device; not all output was written\n"


def test_compare_ends_quietly_when_its_reader_leaves(words):
    """For real, with the interpreter's end."""
    process = subprocess.Popen(
        command("compare", *words["compare"]), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    # only its note on bootstrap=0
    assert process.stderr.read().startswith(b"bootstrap=0: ")


def train_words(model: Path, run: Path) -> list[str]:
    changes = {"run__max_steps": 20, "validation__every": 10, "run__save_every": 20}
    return options(model.parent / "corpus", run, **changes)


def check_complete(run: Path, model: Path) -> None:
    assert (run / "last/weights.safetensors").read_bytes() == (model / "last/weights.safetensors").read_bytes()
    log = (run / "train.log").read_text()
    assert "step 20  epoch" in log
    assert "test BLEU = " in log


def test_training_goes_on_without_the_reader_of_its_log(model, tmp_path):
    reader, writer = os.pipe()
    child = fork_command("train", *train_words(model, tmp_path / "run"), stdin=NULL, stdout=NULL, stderr=writer)
    os.close(writer)
    with open(reader, "rb") as log:  # as `| head -3`
        lines = [log.readline() for _ in range(3)]
    assert all(lines)
    assert child.end() == 0
    check_complete(tmp_path / "run", model)


def test_training_goes_on_without_streams(model, tmp_path):
    assert fork_command("train", *train_words(model, tmp_path / "run")).end() == 0
    check_complete(tmp_path / "run", model)


def test_training_goes_on_without_its_terminal(model, tmp_path):
    """As under nohup or after disown: the terminal's end is no signal, but writing fails with EIO."""
    master, slave = pty.openpty()

    def take_terminal() -> None:
        os.close(master)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    words = train_words(model, tmp_path / "run")
    child = fork_command("train", *words, stdin=slave, stdout=slave, stderr=slave, before=take_terminal)
    os.close(slave)
    assert os.read(master, 10)
    os.close(master)
    assert child.end() == 0
    check_complete(tmp_path / "run", model)


FOREIGN = {"0": "нуль", "1": "één", "2": "二"}


def translated_digits(text: str) -> str:
    for digit, word in FOREIGN.items():
        text = text.replace(digit, word)
    return text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_commands_speak_to_consoles_that_are_not_utf8(words, model, tmp_path, encoding):
    corpus = model.parent / "corpus"
    for name in ("test.src", "test.tgt"):
        (tmp_path / name).write_text(translated_digits((corpus / name).read_text()), encoding="utf-8")
    foreign = {
        name: [word.replace(f"{corpus}/test", f"{tmp_path}/test") for word in arguments]
        for name, arguments in words.items()
    }
    output = {}
    for module, arguments in foreign.items():
        more = {"evaluate": [f"labels={tmp_path / 'test.src'}"], "prepare": ["report=true"]}.get(module, [])
        status, output[module], stderr = run(tmp_path, module, *arguments, *more, encoding=encoding)
        assert (status, "Traceback" in stderr) == (0, False), stderr
    # this program's own signs are spelled out, foreign letters are escaped
    assert "0-10" in output["evaluate"]
    assert r"\u043d\u0443\u043b\u044c" in output["evaluate"]
    assert (r"\xe9\xe9n" if encoding == "ascii" else "één") in output["evaluate"]
    status, _, stderr = run(tmp_path, "decode", "model=нуль", encoding=encoding)
    assert (status, stderr.startswith(r"error: model=\u043d\u0443\u043b\u044c: no such folder")) == (1, True)


def test_decoded_text_is_utf8_on_every_console(words, model, tmp_path):
    (tmp_path / "in").write_text("é\n二\n", encoding="utf-8")
    for encoding in ("ascii", "utf-8"):
        arguments = [f"model={model}", f"input={tmp_path / 'in'}", "threads=1", "workers=1"]
        with open(tmp_path / encoding, "wb") as out:
            child = fork_command("decode", *arguments, stdin=NULL, stdout=out.fileno(), stderr=NULL, encoding=encoding)
            assert child.end() == 0
    assert (tmp_path / "ascii").read_bytes() == (tmp_path / "utf-8").read_bytes()
    assert (tmp_path / "ascii").read_bytes().decode("utf-8").count("\n") == 2


def test_names_outside_the_locale_are_refused_with_the_way_out(words, model, tmp_path):
    """For real, as Python chooses the encoding of file names when it starts."""
    plain = {**environment(), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (tmp_path / "тест").write_bytes((model / "evaluation/hypotheses.txt").read_bytes())
    arguments = command("compare", words["compare"][0], f"baseline={tmp_path / 'тест'}", "bootstrap=0")
    process = subprocess.run(arguments, capture_output=True, env=plain)
    assert process.returncode == 1
    [*_, error] = process.stderr.decode("ascii").splitlines()
    assert r"/\udcd1\udc82" in error
    assert error.endswith("': options and file names must be UTF-8; the locale has ascii: set PYTHONUTF8=1")
    process = subprocess.run(arguments, capture_output=True, env={**plain, "PYTHONUTF8": "1"})
    assert (process.returncode, "тест" in process.stdout.decode()) == (0, True)


def test_text_with_a_name_that_is_not_utf8_can_be_written(tmp_path):
    write_text(tmp_path / "report.md", "# " + os.fsdecode(b"odd-\xff"))
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == r"# odd-\udcff"
