"""The decode command: files, pipes and terminals in, as many lines out."""

from __future__ import annotations

import errno
import gzip
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import fake_translators
from fake_models import random_model
from fake_translators import HOSTILE, copier, translator_of
from translate.decode import DecodeConfig, check_files, resume_key, translate_files, translate_stream
from translate.decoding.config import SearchConfig
from translate.decoding.constraints.constraints import ConstraintConfig
from translate.decoding.translation_memory_config import MemoryConfig
from translate.errors import UserError


def translated(data: bytes, **options) -> bytes:
    output = io.BytesIO()
    translate_stream(copier(**options), io.BytesIO(data), output)
    return output.getvalue()


def test_stream_writes_as_many_line_ends_as_it_reads():
    for data in (b"", b"\n", b"a", b"a\n", b"\n\na\n\n", b"a\n\nb", b"a\r\nb\xc2\x85c\n"):
        assert translated(data).count(b"\n") == data.count(b"\n")
    assert translated(b"a\n\nb") == b"a\n\nb"


def test_hostile_file_keeps_its_lines_at_any_batch_size(tmp_path):
    (tmp_path / "in").write_bytes("\n".join(HOSTILE).encode())
    outputs = set()
    for batch_sentences in (1, 7, 64):
        config = DecodeConfig(model="m", input=str(tmp_path / "in"), output=str(tmp_path / "out"), progress=False)
        check_files(config)
        translate_files(copier(batch_sentences=batch_sentences), config)
        outputs.add((tmp_path / "out").read_bytes())
    [output] = outputs
    assert output.count(b"\n") == len(HOSTILE) - 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_n_best_lines_name_the_input_line():
    search = SearchConfig(beam_size=2, n_best=2)
    first, second, third, fourth = translated(b"a\n\n", search=search).decode().splitlines()
    assert first.startswith("0 ||| a ||| -")
    assert second.startswith("0 ||| ")
    assert third == fourth == "1 |||  ||| 0.000000"


def test_n_best_pads_lists_to_equal_length_when_the_search_finds_fewer():
    search = SearchConfig(beam_size=8, n_best=8, max_length=4, no_repeat_ngram=1)
    translator = translator_of(random_model(vocabulary_size=6, end=-1.0), search=search)
    translate_stream(translator, io.BytesIO(b"a\n\nab"), output := io.BytesIO())
    lines = output.getvalue().decode().splitlines()
    assert [line.split(" ||| ")[0] for line in lines] == [*"0" * 8, *"1" * 8, *"2" * 8]
    assert all(float(line.rsplit(" ||| ", 1)[1]) <= 0 for line in lines)


def test_typed_line_is_translated_before_the_next_is_read():
    to_translator, typed = os.pipe()
    answers, from_translator = os.pipe()
    with open(to_translator, "rb") as source, open(from_translator, "wb") as output:
        worker = threading.Thread(target=translate_stream, args=(copier(), source, output))
        worker.start()
        with open(answers, "rb", buffering=0) as answer:
            for line in (b"one\n", b"\n", b"two\n"):
                os.write(typed, line)
                assert answer.read(100) == line
            os.write(typed, b"last")
            os.close(typed)
            assert answer.read(100) == b"last"
        worker.join()


def test_lines_before_an_invalid_one_in_a_pipe_are_translated():
    reader, writer = os.pipe()
    os.write(writer, b"good\n\xff\n")
    os.close(writer)
    output = io.BytesIO()
    with open(reader, "rb") as source, pytest.raises(UserError, match="line 2, byte 1"):
        translate_stream(copier(), source, output)
    assert output.getvalue() == b"good\n"


def test_files_may_be_compressed(tmp_path):
    with gzip.open(tmp_path / "in.gz", "wb") as stream:
        stream.write(b"a\n\nb\n")
    translate_files(
        copier(),
        DecodeConfig(model="m", input=str(tmp_path / "in.gz"), output=str(tmp_path / "out.gz"), progress=False),
    )
    with gzip.open(tmp_path / "out.gz", "rb") as stream:
        assert stream.read() == b"a\n\nb\n"


def test_failed_decode_leaves_no_output_file(tmp_path):
    (tmp_path / "in").write_bytes(b"a\nb\n")
    translator = copier()
    translator.engine.model.next_logits = lambda source, history: 1 / 0
    with pytest.raises(ZeroDivisionError):
        translate_files(
            translator,
            DecodeConfig(model="m", input=str(tmp_path / "in"), output=str(tmp_path / "out"), progress=False),
        )
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["in"]


def decode(folder: Path, source: str, output: str, translator=None) -> None:
    config = DecodeConfig(model="m", input=str(folder / source), output=str(folder / output), progress=False)
    check_files(config)
    translate_files(translator or copier(), config)


def test_decode_never_writes_to_the_input_file(tmp_path):
    (tmp_path / "x.partial").write_bytes(b"a\nb\n")
    decode(tmp_path, "x.partial", "x")
    assert (tmp_path / "x.partial").read_bytes() == (tmp_path / "x").read_bytes() == b"a\nb\n"
    (tmp_path / "soft").symlink_to("x")
    (tmp_path / "hard").hardlink_to(tmp_path / "x")
    for output in ("x", "soft", "hard"):
        with pytest.raises(UserError, match="that is the input itself"):
            decode(tmp_path, "x", output)
    with (
        open(tmp_path / "x", "rb") as stdin,
        open(tmp_path / "x", "ab") as stdout,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("sys.stdin", stdin)
        with pytest.raises(UserError, match="that is the input itself"):
            check_files(DecodeConfig(model="m", output=str(tmp_path / "x")))
        patch.setattr("sys.stdout", stdout)
        with pytest.raises(UserError, match="that is the input itself"):
            check_files(DecodeConfig(model="m", input=str(tmp_path / "x")))
        with pytest.raises(UserError, match="that is the input itself"):
            check_files(DecodeConfig(model="m"))


def test_output_symlink_is_followed(tmp_path):
    (tmp_path / "in").write_bytes(b"a\n")
    (tmp_path / "real").write_bytes(b"old\n")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("no/folder")
    decode(tmp_path, "in", "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"a\n"
    with pytest.raises(UserError, match="a loop of symbolic links"):
        decode(tmp_path, "in", "loop")
    with pytest.raises(UserError, match="no such folder"):
        decode(tmp_path, "in", "nowhere")


def test_partial_output_is_kept_and_named_after_an_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "in").write_bytes(b"a\nb\nc\n")
    monkeypatch.setattr("translate.text.WINDOW", 1)
    translator = copier()
    next_logits = translator.engine.model.next_logits

    def fail_at_c(source, history):
        return 1 / 0 if (tmp_path / "stop").exists() else next_logits(source, history)

    translator.engine.model.next_logits = fail_at_c
    translate = translator.translate

    def translate_and_stop(lines, **options):
        (tmp_path / "stop").touch() if lines == ["c"] else None
        return translate(lines, **options)

    translator.translate = translate_and_stop
    with pytest.raises(ZeroDivisionError):
        decode(tmp_path, "in", "out", translator)
    [partial] = tmp_path.glob("out.*.partial")
    assert partial.read_bytes() == b"a\nb\n"
    assert f"what was translated so far is in {partial}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_renamed_names_what_is_kept(tmp_path, monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")  # as of a file that is mounted in a container

    (tmp_path / "in").write_bytes(b"a\n")
    monkeypatch.setattr("translate.files.os.replace", fail)
    with pytest.raises(OSError, match="busy"):
        decode(tmp_path, "in", "out", copier())
    [partial] = tmp_path.glob("out.*.partial")
    assert f"what was translated so far is in {partial}" in capsys.readouterr().err


def test_other_files_of_a_command_are_not_overwritten_and_reports_begin_at_the_first_line(tmp_path):
    for name in ("in", "terms", "memory"):
        (tmp_path / name).write_text("a\tb\n")
    source, memory, terms = (str(tmp_path / name) for name in ("in", "memory", "terms"))
    output, own = str(tmp_path / "out"), ConstraintConfig(terminology=terms)
    for report, options, message in [
        (source, {}, "memory.report=.* the input itself"),
        (terms, {}, "memory.report=.*terms, which is read here as well"),
        (memory, {}, "memory.report=.*memory, which is read here as well"),
        (output, {}, "memory.report=.*that is the output"),
        (str(tmp_path / "none" / "x"), {}, "memory.report=.*no such folder"),
        ("", {"output": memory}, "output=.*memory, which is read here as well"),
        ("", {"output": terms}, "output=.*terms, which is read here as well"),
        (str(tmp_path / "report"), {"resume": True}, "resume=true .* memory.report"),
    ]:
        config = {"model": "m", "input": source, "output": output, **options}
        with pytest.raises(UserError, match=message):
            check_files(DecodeConfig(**config, memory=MemoryConfig(path=memory, report=report), constraints=own))


def test_resume_key_has_all_that_decides_markup(tmp_path, monkeypatch):
    (tmp_path / "in").write_text("a\n")
    monkeypatch.setattr("translate.decode.content_hash", lambda *_: "")
    configs = [DecodeConfig(model="m", input=str(tmp_path / "in"), **own) for own in ({}, {"markup": True})]
    configs.append(DecodeConfig(model="m", input=str(tmp_path / "in"), keep=["x"]))
    keys = [resume_key(copier(), config) for config in configs]
    assert "markup" not in keys[0], "unfinished translations of former versions continue"
    assert (keys[1]["markup"], keys[2]["keep"]) == (True, ["x"])


def test_files_that_cannot_be_read_or_written_are_named(tmp_path):
    (tmp_path / "in").write_bytes(b"a\nb\xff\n")
    (tmp_path / "good").write_bytes(b"a\n")
    for options, message in [
        ({"input": str(tmp_path / "missing")}, "missing: no such file"),
        ({"input": str(tmp_path / "in")}, "in, line 2, byte 2"),
        ({"input": str(tmp_path)}, "that is a folder"),
        ({"input": str(tmp_path / "good"), "output": str(tmp_path / "none" / "out")}, "no such folder"),
        ({"input": str(tmp_path / "good"), "output": str(tmp_path / "good")}, "the input itself"),
    ]:
        with pytest.raises(UserError, match=message):
            check_files(DecodeConfig(model="m", **options))


COMMAND = """
from fake_translators import copier
from translate.decode import DecodeConfig, translate_files
translate_files(copier(), DecodeConfig(model="m"))
"""


def start_command(code: str = COMMAND, **streams) -> subprocess.Popen:
    paths = [str(Path(fake_translators.__file__).parent), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **streams)


def test_standard_streams_are_translated_line_by_line_until_the_reader_closes():
    pipe = subprocess.PIPE
    with start_command(stdin=pipe, stdout=pipe, stderr=pipe) as process:
        for line in (b"one\n", b"two\r\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line.replace(b"\r", b"")
        process.stdout.close()
        process.stdin.write(b"nobody reads this\n")
        process.stdin.flush()
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == b""


def test_closed_standard_error_does_not_end_decoding(tmp_path):
    (tmp_path / "in").write_bytes(b"a\nb\n")
    code = (
        "from fake_translators import copier\n"
        "from translate.decode import DecodeConfig, translate_files\n"
        f"translate_files(copier(), DecodeConfig(model='m', input={str(tmp_path / 'in')!r}, "
        f"output={str(tmp_path / 'out')!r}))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    process = start_command(code, stderr=writer)
    os.close(writer)
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "out").read_bytes() == b"a\nb\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
