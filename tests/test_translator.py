"""The line contract: n lines in, n lines out, whatever they hold and however they are batched."""

from __future__ import annotations

import gzip
import io
import logging
import math
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from fake_models import CharacterTokenizer, FakeModel, copy_model, random_model
from translate.console import Progress, ProgressLine, logger, start_log
from translate.decode import DecodeConfig, check_files, translate_files, translate_stream
from translate.decoding.config import DecodingConfig, SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.decoding.segmentation import Segment, join_translations, split_line
from translate.decoding.translator import Translator
from translate.errors import UserError
from translate.tokenizer import EOS

HOSTILE = [
    "",
    "  ",
    "one",
    "a\rb",
    "a\x85b",
    "a\u2028b",
    "\ufeffbom",
    "nul\x00byte",
    "\x00",
    "🙂 emoji",
    "\t",
    "x" * 700,
    "one",
    "Ein Satz. Noch einer! " * 20,
    "没有空格的长句子，" * 40 + "完。",
]


def translator_of(model: FakeModel, *, search: SearchConfig | None = None, **options) -> Translator:
    options = {"batch_tokens": 500, "workers": 1, **options}
    engine = NativeEngine(model=model, device=torch.device("cpu"), **options)
    return Translator(engine, CharacterTokenizer(), search or SearchConfig(beam_size=2))


def copier(**options) -> Translator:
    return translator_of(copy_model(vocabulary_size=80), **options)


def test_every_line_has_its_translation_in_order():
    lines = ["ccc", "a", "", "bb", "a"]
    assert [t.text for t in copier().translate(lines)] == lines


def test_no_lines_have_no_translations():
    assert copier().translate([]) == []


def test_hostile_lines_stay_lines():
    texts = [t.text for t in copier().translate(HOSTILE)]
    assert len(texts) == len(HOSTILE)
    assert texts[:12] == [
        "",
        "",
        "one",
        "a b",
        "a b",
        "a b",
        "bom",
        "nul byte",
        "",
        "🙂 emoji",
        "",
        "x" * 700,
    ]


def test_batch_size_never_changes_a_translation():
    generator = random.Random(3)
    lines = ["".join(generator.choices("abcdef ", k=generator.randrange(12))) for _ in range(60)]
    results = []
    for options in (
        {"batch_sentences": 1},
        {"batch_sentences": 7},
        {"batch_sentences": 64},
        {"batch_tokens": 20},
    ):
        model = random_model(vocabulary_size=12, end=1.0)
        search = SearchConfig(beam_size=3, n_best=3, max_length=6)
        results.append(translator_of(model, search=search, **options).translate(lines))
        largest = max(len(batch) for batch in model.batches)
        assert largest == options.get("batch_sentences", largest) or len(lines) < options["batch_sentences"] + 10
    assert all(result == results[0] for result in results)


def test_a_batch_holds_no_more_tokens_than_asked_for():
    translator = copier(batch_tokens=40)
    translator.translate(["x" * length for length in range(1, 39, 3)])
    for batch in translator.engine.model.batches:
        assert len(batch) * max(map(len, batch)) <= 40


def test_blank_lines_do_not_reach_the_model_and_equal_lines_reach_it_once():
    translator = copier()
    blank, *_, last = translator.translate(["", "   ", "same", "\x00", "same"])
    assert translator.engine.model.batches == [[(*translator.tokenizer.encode_source(["same"])[0], EOS)]]
    assert (blank.segments, blank.n_best, last.segments) == (0, [("", 0.0)], 1)


def test_long_line_without_spaces_is_translated_whole():
    line = ("abcdefgh" * 8125)[:65_000]
    [translation] = copier().translate([line])
    assert translation.text == line
    assert translation.segments == 657


def test_training_mode_is_restored():
    translator = copier()
    translator.engine.model.train()
    translator.translate(["a"])
    assert translator.engine.model.training


def test_progress_ends_at_all():
    shares: list[float] = []
    copier(batch_sentences=1).translate(["a", "b", "c", "a"], progress=shares.append)
    assert shares == [1 / 3, 2 / 3, 1.0]


@pytest.mark.parametrize("name", ["batch_tokens", "batch_sentences", "max_source_length", "threads", "workers"])
def test_negative_sizes_raise_user_errors(name):
    with pytest.raises(UserError, match=rf"^{name} \(-1\) must be at least 0"):
        DecodingConfig(**{name: -1}).check()


def test_a_minimum_length_beyond_the_model_raises_a_user_error():
    with pytest.raises(UserError, match="at most 100 tokens"):
        copier(search=SearchConfig(min_length=101))


def pieces_of(line: str, *, max_tokens: int) -> tuple[list[str], list[Segment]]:
    tokenizer = CharacterTokenizer()
    segments = split_line(
        line, tokenizer.encode_source([line])[0], encode=tokenizer.encode_source, max_tokens=max_tokens
    )
    assert all(0 < len(segment.tokens) <= max_tokens for segment in segments)
    return tokenizer.decode_target([segment.tokens for segment in segments]), segments


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("short enough, all of it. Really.", ["short enough, all of it. Really."]),
        ("One sentence is here. Another one is there!", ["One sentence is here.", "Another one is there!"]),
        ('He said: "This is it." Then he left us.', ['He said: "This is it."', "Then he left us."]),
        ("At 3 p. m. it goes on. But here it ends.", ["At 3 p. m. it goes on.", "But here it ends."]),
        ("first the one clause, then another one came", ["first the one clause,", "then another one came"]),
        ("words and words and words and words and word", ["words and words and", "words and words and word"]),
        ("第一句话在这里，不太长。第二句话在那里，也不长！第三句话没有了，就这样。好。",
         ["第一句话在这里，不太长。", "第二句话在那里，也不长！", "第三句话没有了，就这样。", "好。"]),
        ("x" * 70, ["x" * 23, "x" * 23, "x" * 24]),
        ("It is on.  And on it goes, up to the end", ["It is on.", "And on it goes, up to the end"]),
    ],
)  # fmt: skip
def test_lines_are_split_where_a_reader_would_pause(line, pieces):
    assert pieces_of(line, max_tokens=32)[0] == pieces


def test_splitting_loses_nothing():
    generator = random.Random(5)
    for _ in range(300):
        line = "a" + "".join(generator.choices("ab c.,!?。，;  ", k=generator.randrange(200)))
        texts, _ = pieces_of(line, max_tokens=generator.randrange(1, 40))
        assert "".join(texts).replace(" ", "") == line.replace(" ", "")


def test_hostile_lines_are_split_quickly():
    for unit in (".", ",", " ", "a", ".' ", "！", ". a"):
        start = time.monotonic()
        pieces_of("x" + unit * (65_000 // len(unit)) + "x", max_tokens=100)
        assert time.monotonic() - start < 20, unit


def test_rejoined_with_a_space_except_in_chinese_and_inside_words():
    two = [Segment([4]), Segment([4])]
    assert join_translations(["One.", "Two."], two) == "One. Two."
    assert join_translations(["第一。", "第二。"], two) == "第一。第二。"
    assert join_translations(["", "Two."], two) == "Two."
    assert join_translations(["un", "cut"], [Segment([4], whole=False), Segment([4])]) == "uncut"


def translated(data: bytes, **options) -> bytes:
    output = io.BytesIO()
    translate_stream(copier(**options), io.BytesIO(data), output)
    return output.getvalue()


def test_stream_writes_as_many_line_ends_as_it_reads():
    for data in (b"", b"\n", b"a", b"a\n", b"\n\na\n\n", b"a\n\nb", b"a\r\nb\xc2\x85c\n"):
        assert translated(data).count(b"\n") == data.count(b"\n")
    assert translated(b"a\n\nb") == b"a\n\nb"


def test_hostile_file_keeps_its_lines_in_any_batch_size(tmp_path):
    (tmp_path / "in").write_bytes("\n".join(HOSTILE).encode())
    outputs = set()
    for batch_sentences in (1, 7, 64):
        config = DecodeConfig(model="", input=str(tmp_path / "in"), output=str(tmp_path / "out"), progress=False)
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


def test_every_line_has_n_best_translations_though_the_search_finds_fewer():
    """Of two words without a repetition there are five sequences; a line in segments joins what these have."""
    model = random_model(vocabulary_size=6, end=-1.0)
    search = SearchConfig(beam_size=8, n_best=8, max_length=4, no_repeat_ngram=1)
    lines = ["a", "", "ab", " ", "a" * 250]
    found = translator_of(model, search=search).translate(lines)
    assert [len(translation.n_best) for translation in found] == [8] * 5
    sequences, rest = found[0].n_best[:5], found[0].n_best[5:]
    assert len({text for text, _ in sequences}) == 5
    assert [score for _, score in sequences] == sorted((score for _, score in sequences), reverse=True)
    assert rest == [("", -math.inf)] * 3
    assert found[1].n_best == [("", 0.0)] * 8
    assert found[4].segments == 3
    assert found[4].n_best[5:] == rest
    lines = translated("\n".join(["a", "", "ab"]).encode(), search=search).decode().splitlines()
    assert [line.split(" ||| ")[0] for line in lines] == [*"0" * 8, *"1" * 8, *"2" * 8]
    assert all(float(line.rsplit(" ||| ", 1)[1]) <= 0 for line in lines)


def test_the_kth_best_of_a_line_joins_the_kth_best_of_each_segment_or_its_last():
    """A sentence of b's has two translations, b and c, one of c's a third one, bc."""
    b, c = 4, 5

    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        logits = (
            {b: 0.2, c: 0.1} if not history else {EOS: 0.3, c: 0.0} if history == (b,) and c in source else {EOS: 0}
        )
        return [logits.get(token, -math.inf) for token in range(6)]

    search = SearchConfig(beam_size=4, n_best=4, length_penalty=0.0)
    translator = translator_of(FakeModel(next_logits, max_length=6), search=search)
    translator.tokenizer.encode_source(["bc"])
    found = translator.translate(["bbbb", "cccc", "bbbb. cccc"])
    assert [text for text, _ in found[0].n_best] == ["b", "c", "", ""]
    assert [text for text, _ in found[1].n_best] == ["c", "b", "bc", ""]
    assert found[2].segments == 2
    assert [text for text, _ in found[2].n_best] == ["b c", "c b", "c bc", ""]
    assert [score == -math.inf for _, score in found[2].n_best] == [False, False, False, True]


def test_a_line_typed_is_answered_before_the_next():
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


def test_error_in_a_pipe_comes_after_what_was_before_it():
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
        DecodeConfig(model="", input=str(tmp_path / "in.gz"), output=str(tmp_path / "out.gz"), progress=False),
    )
    with gzip.open(tmp_path / "out.gz", "rb") as stream:
        assert stream.read() == b"a\n\nb\n"


def test_a_killed_decode_leaves_no_file_that_looks_complete(tmp_path):
    (tmp_path / "in").write_bytes(b"a\nb\n")
    translator = copier()
    translator.engine.model.next_logits = lambda source, history: 1 / 0
    with pytest.raises(ZeroDivisionError):
        translate_files(
            translator,
            DecodeConfig(model="", input=str(tmp_path / "in"), output=str(tmp_path / "out"), progress=False),
        )
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["in"]


def decode(folder: Path, source: str, output: str, translator=None) -> None:
    config = DecodeConfig(model="", input=str(folder / source), output=str(folder / output), progress=False)
    check_files(config)
    translate_files(translator or copier(), config)


def test_decoding_never_touches_its_input(tmp_path):
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
            check_files(DecodeConfig(model="", output=str(tmp_path / "x")))
        patch.setattr("sys.stdout", stdout)
        with pytest.raises(UserError, match="that is the input itself"):
            check_files(DecodeConfig(model="", input=str(tmp_path / "x")))
        with pytest.raises(UserError, match="that is the input itself"):
            check_files(DecodeConfig(model=""))


def test_output_links_are_written_through(tmp_path):
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
    with pytest.raises(UserError, match="there is no folder"):
        decode(tmp_path, "in", "nowhere")


def test_what_was_translated_before_an_error_is_kept_under_a_name_that_is_told(tmp_path, monkeypatch, capsys):
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


def test_files_that_cannot_be_read_or_written_are_named(tmp_path):
    (tmp_path / "in").write_bytes(b"a\nb\xff\n")
    (tmp_path / "good").write_bytes(b"a\n")
    for options, message in [
        ({"input": str(tmp_path / "missing")}, "missing: there is no such file"),
        ({"input": str(tmp_path / "in")}, "in, line 2, byte 2"),
        ({"input": str(tmp_path)}, "that is a folder"),
        ({"input": str(tmp_path / "good"), "output": str(tmp_path / "none" / "out")}, "there is no folder"),
        ({"input": str(tmp_path / "good"), "output": str(tmp_path / "good")}, "the input itself"),
    ]:
        with pytest.raises(UserError, match=message):
            check_files(DecodeConfig(model="", **options))


COMMAND = """
from test_translator import copier
from translate.decode import DecodeConfig, translate_files
translate_files(copier(), DecodeConfig(model=""))
"""


def start_command(code: str = COMMAND, **streams) -> subprocess.Popen:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **streams)


def test_standard_streams_are_answered_as_lines_come_and_a_waiting_reader_ends_quietly():
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


def test_a_reader_of_the_progress_that_leaves_does_not_end_the_work(tmp_path):
    (tmp_path / "in").write_bytes(b"a\nb\n")
    code = (
        "from test_translator import copier\n"
        "from translate.decode import DecodeConfig, translate_files\n"
        f"translate_files(copier(), DecodeConfig(model='', input={str(tmp_path / 'in')!r}, "
        f"output={str(tmp_path / 'out')!r}))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    process = start_command(code, stderr=writer)
    os.close(writer)
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "out").read_bytes() == b"a\nb\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress_of(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """Output for 400 and 401 of 1,200 lines after 40 s, and for all of them after 60 s."""
    clock = iter([0.0, 40.0, 40.01, 60.0])
    monkeypatch.setattr("translate.console.time.monotonic", lambda: next(clock))
    progress = Progress("lines", total=1200, stream=stream)
    progress.show(400)
    progress.show(401)
    progress.finish(1200)
    return stream.getvalue()


def test_progress_in_a_file_is_a_line_now_and_then(monkeypatch):
    assert progress_of(io.StringIO(), monkeypatch) == (
        "400 of 1,200 lines (33%) · 10.00 lines/s · 01:20 left\n1,200 lines in 01:00 (20.0 lines/s)\n"
    )


def test_progress_on_a_terminal_is_rewritten_and_its_last_line_stays(monkeypatch):
    shown = progress_of(Terminal(), monkeypatch).split("\r")
    assert "400 of 1,200 lines (33%)" in shown[1]
    assert "401" not in "".join(shown)
    assert not shown[-2].strip()  # cleared
    assert shown[-1] == "1,200 lines in 01:00 (20.0 lines/s)\n"


def test_log_lines_are_printed_above_the_progress_display(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    start_log()
    try:
        line = ProgressLine()
        line.show("step 1")
        logger.info("a message")
        line.clear()
    finally:
        logging.captureWarnings(False)
    shown = terminal.getvalue().split("\r")
    message = next(index for index, text in enumerate(shown) if "a message\n" in text)
    assert shown[message] == "a message\n"
    assert not shown[message - 1].strip()  # the line about the run is cleared before
    assert shown[message + 1].startswith("step 1")  # and shown again
