"""Hostile input of scripts/fuzz.py: every reader refuses it with a message, and what does not is found."""

import json
import mmap
import os
import time
from pathlib import Path

import pytest
from hypothesis import strategies as st

from fuzzing.documents import document_formats
from fuzzing.formats import contents
from fuzzing.harness import check, fuzz
from fuzzing.inputs import JSON, joined
from fuzzing.memory import MemoryGrowth
from fuzzing.readers import Reader, readers
from translate.errors import UserError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1000"))
SLOW = ["options", "adapter", "state", "parquet", "model", "tokenizer"]
FAST = ["text", "gzip", "tsv", "jsonl", "squad", "tmx", "xliff", "po", "moses", "yaml", "json", "run"]
RECOGNISED = list(contents())
DOCUMENTS = [f"{file_format}_document" for file_format in document_formats()]
NAMES = SLOW + FAST + RECOGNISED


@pytest.mark.parametrize("name", NAMES)
def test_hostile_input_is_read_or_refused_with_a_message(name):
    fuzz(readers()[name], examples=EXAMPLES, first_seed=0)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_hostile_documents_are_written_or_refused_with_a_message(name):
    fuzz(readers()[name], examples=EXAMPLES // 10, first_seed=0)


def test_every_reader_has_a_test():
    assert sorted(readers()) == sorted(NAMES + DOCUMENTS)


def reader_of(read):
    return Reader(joined(JSON).map(lambda content: {"file": content}), read)


def parse(folder: Path) -> None:
    try:
        json.loads((folder / "file").read_bytes())
    except ValueError:
        raise UserError("file: not JSON") from None


def test_a_reader_that_recurses_too_deeply_is_a_finding():
    with pytest.raises(RecursionError):
        fuzz(reader_of(parse), examples=300, first_seed=0)


ONE = st.just({"file": b""})


@pytest.mark.parametrize(
    ("message", "finding"),
    [("damaged", "no file is named"), ("file: \u202e", "control characters"), ("file" * 2000, "8000 characters")],
)
def test_a_bad_message_is_a_finding(message, finding):
    def refuse(folder: Path) -> None:
        error = UserError("")
        error.args = (message,)  # past its constructor, which spells it out and shortens it
        raise error

    with pytest.raises(AssertionError, match=finding):
        fuzz(Reader(ONE, refuse), examples=1, first_seed=0)


def test_a_reader_that_takes_long_is_a_finding(monkeypatch):
    monkeypatch.setattr("fuzzing.harness.SECONDS", 0.01)

    def work(folder: Path) -> None:
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass

    with pytest.raises(AssertionError, match=r"0\.0 s"):
        fuzz(Reader(ONE, work), examples=1, first_seed=0)


def fill(size: int) -> None:
    """Take memory from the system, and give it back: malloc may take what has been freed, which is no growth."""
    with mmap.mmap(-1, size) as memory:
        memory[:: mmap.PAGESIZE] = bytes(-(-size // mmap.PAGESIZE))


def test_a_reader_that_fills_the_memory_is_a_finding(monkeypatch, tmp_path):
    monkeypatch.setattr("fuzzing.harness.MEGABYTES", 10)

    with pytest.raises(AssertionError, match="MB"):
        check(Reader(ONE, lambda folder: fill(50_000_000)), {"file": b""}, tmp_path)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux begins a peak again")
def test_memory_is_measured_below_an_earlier_peak():
    fill(400_000_000)
    memory = MemoryGrowth()
    assert memory.megabytes < 10
    fill(100_000_000)
    assert 90 < memory.megabytes < 150


def test_the_same_seed_gives_the_same_examples():
    seen = []
    for _ in range(2):
        seen.append([])
        fuzz(reader_of(lambda folder: seen[-1].append((folder / "file").read_bytes())), examples=50, first_seed=7)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 25
