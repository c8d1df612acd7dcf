"""A program of the user's own as a filter: its answers, and every way in which it can fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from translate.data.filters import command as filter_command
from translate.data.filters.command import PairCommand
from translate.errors import UserError

PAIRS = [f"line {n}" for n in range(3000)], [f"Zeile {n}" for n in range(3000)]
READ_ALL = "import sys; lines = sys.stdin.readlines()\n"


def command(program: str, *, lowest: float = 0.5) -> PairCommand:
    return PairCommand([sys.executable, "-c", program], lowest=lowest, key="data.train: filters.command")


def rejected(program: str, *, lowest: float = 0.5) -> list[int]:
    judge = command(program, lowest=lowest)
    try:
        judge.send(*PAIRS)
        judge.send(["last"], ["letzte"])
        return judge.finish().nonzero()[0].tolist()
    finally:
        judge.close()


def problem(program: str) -> str:
    with pytest.raises(UserError) as caught:
        rejected(program)
    return str(caught.value).partition(") ")[2]


def test_pairs_with_low_answers_are_rejected():
    each = "import sys\nfor line in sys.stdin:\n  source, target = line.rstrip('\\n').split('\\t')\n"
    assert rejected(each + "  print(int(source.split()[-1] == target.split()[-1] != '7'))") == [7, 3000]
    some = each + "  print({'last': 0.25, 'line 1': -1e3}.get(source, 3))"
    assert rejected(some, lowest=0.2) == [1]
    assert rejected(each + "  print('nan' if source == 'line 2' else 'inf')") == [2]


def test_a_program_may_answer_when_it_has_read_everything():
    assert rejected(READ_ALL + "print('\\n'.join('1' for _ in lines))") == []


def test_a_program_without_pairs_answers_nothing():
    judge = command(READ_ALL)
    try:
        assert judge.finish().tolist() == []
    finally:
        judge.close()


def test_ways_of_failing_are_told_apart():
    assert problem("") == "has answered 0 of 3,001 pairs; it must write a line for each"
    assert problem(READ_ALL + "print('1\\n' * 3000)") == (
        "has answered '', not with a number (answer 3,001)"  # print ends with a second line break
    )
    assert problem(READ_ALL + "print('1\\n' * 2999 + '1')") == (
        "has answered 3,000 of 3,001 pairs; it must write a line for each"
    )
    assert problem(READ_ALL + "print('1\\n' * 3001 + '1')").startswith("has written more lines than the 3,001 pairs")
    assert problem(READ_ALL + "print('good')").startswith("has answered 'good', not with a number")
    assert problem(READ_ALL + "print('1'); sys.exit(3)") == "has ended with status 3 after 1 of 3,001 pairs"
    assert problem("import os; os.kill(os.getpid(), 9)").startswith("has ended with status -9 after 0 of")


def test_a_program_that_writes_without_end_is_stopped():
    assert "not with a number" in problem("while True: print('x' * 1000)")
    assert "more lines" in problem("while True: print(1)")


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", READ_ALL + "import time; time.sleep(60)"])
def test_silence_is_an_error(program: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filter_command, "LONGEST_SILENCE", 0.5)
    assert problem(program) == "has neither read nor written for 0.5 s"


@pytest.mark.parametrize("word", ["no/such/program", "", "a\0b"])
def test_a_program_that_cannot_be_started_is_named(word: str, tmp_path: Path):
    with pytest.raises(UserError, match=r"^data.train: filters.command .*: cannot be started: "):
        PairCommand([word], lowest=0.5, key="data.train: filters.command")
