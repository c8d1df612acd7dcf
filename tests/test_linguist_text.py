"""Text as people have it, oddities and all, through the whole program with its default settings."""

import json

import numpy as np
import pytest

from in_process import call_here
from linguist_text import LIMIT_TOKENS, write_linguist_text
from small_runs import call
from translate.text import read_lines

UPDATES = 30


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was given two files, the smallest size and the number of its updates, nothing else."""
    folder = tmp_path_factory.mktemp("linguist")
    text = write_linguist_text(folder / "text")
    finished = call(
        "train",
        f"data.train.source={text / 'train.src'}",
        f"data.train.target={text / 'train.tgt'}",
        f"data.cache={folder / 'cache'}",
        "model=tiny",
        f"run.max_steps={UPDATES}",
        f"run.dir={folder / 'run'}",
        timeout=900,
    )
    assert finished.returncode == 0, finished.stderr.decode()
    return folder / "run"


def test_run_on_two_files_ends_with_a_score(run):
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert result["step"] == UPDATES
    assert "BLEU" in result["summary"]


def test_pairs_of_exactly_the_greatest_length_were_trained_on(run):
    cache = run.parent / "cache"
    lengths = [
        np.diff(np.load(file)) for side in ("source", "target") for file in cache.glob(f"tokens-*/{side}.offsets.npy")
    ]
    assert max(side.max() for side in lengths) == LIMIT_TOKENS


def test_every_odd_line_is_translated(run, tmp_path):
    source = run.parent / "text" / "train.src"
    longest = sorted(read_lines(source), key=len)[-12:]
    odd = tmp_path / "odd.src"
    odd.write_bytes("".join(f"{line}\n" for line in ["", "  ", *longest, "tlaca"]).encode())
    finished = call_here("decode", f"model={run}", f"input={odd}", "search=greedy", "search.max_length=12", "threads=1")
    assert finished.returncode == 0, finished.stderr.decode()
    assert finished.stdout.count(b"\n") == 15
