"""python -m translate.score: a line for every pair, from files and standard input."""

from __future__ import annotations

import json
import math

import pytest

from fake_translators import HOSTILE, copier
from in_process import call_here
from trained_model import trained_model
from translate.decoding.constraints.constraints import ConstraintConfig
from translate.decoding.rescoring.rerank_config import RerankConfig
from translate.decoding.translation_memory_config import MemoryConfig
from translate.errors import UserError
from translate.score import ScoreConfig, ScoreFormat, perplexity, score


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Score pairs by a model that copies; the lines of the output."""

    def call(sources: list[str], targets: list[str], *, sizes: int = 64, **options) -> list[str]:
        monkeypatch.setattr("translate.score.load_translator", lambda path, config: copier(batch_sentences=sizes))
        for name, lines in (("source", sources), ("target", targets)):
            (tmp_path / name).write_bytes("".join(f"{line}\n" for line in lines).encode())
        files = {name: str(tmp_path / name) for name in ("source", "target", "output")}
        score(ScoreConfig(model="m", progress=False, **{**files, **options}))
        return (tmp_path / "output").read_bytes().decode().split("\n")[:-1]

    return call


def test_columns_are_mean_sum_perplexity_and_tokens(run, capsys):
    # the model copies: after "ab" it is certain, "b" for "a" costs 20 nats
    good, bad, ended = (tuple(map(float, line.split("\t"))) for line in run(["ab", "ab", "ab"], ["ab", "bb", "a"]))
    assert good == pytest.approx((0.0, 0.0, 1.0, 3), abs=1e-3)
    assert bad == pytest.approx((-20 / 3, -20.0, math.exp(20 / 3), 3), rel=1e-3)
    assert ended == pytest.approx((-10.0, -20.0, math.exp(10), 2), rel=1e-3)
    assert "8 target tokens: mean log probability -5.0" in capsys.readouterr().err


def test_pairs_without_a_score_keep_their_lines(run, capsys):
    sources, targets = ["", "a", "x" * 101, "a"], ["b", "", "x", "x" * 101]
    blank, empty, *long = run(sources, targets)
    assert blank == long[0] == long[1] == "-inf\t-inf\tinf\t0"
    assert float(empty.split("\t")[0]) == pytest.approx(-20, abs=0.01), "an empty translation is the end alone"
    assert "2 of 4 pairs have more than 100 source or 100 target tokens: not scored" in capsys.readouterr().err
    records = [json.loads(line) for line in run(sources, targets, format=ScoreFormat.json)]
    assert [record["score"] is None for record in records] == [True, False, True, True]
    assert [record["flags"] for record in records] == [[], [], ["too_long"], ["too_long"]]
    assert [record["alignment"] for record in records] == [None, "", None, None]


def test_records_have_both_texts_and_the_scores_of_tokens(run):
    [record] = [json.loads(line) for line in run(["a b"], ["a c"], format=ScoreFormat.json)]
    assert (record["id"], record["source"], record["target"]) == (0, "a b", "a c")
    assert record["tokens"] == ["a", "▁", "c", "</s>"]
    assert record["token_scores"] == pytest.approx([0, 0, -20, 0], abs=1e-3)
    assert record["log_prob"] == pytest.approx(-20, abs=1e-3)
    assert record["score"] == pytest.approx(-5, abs=1e-3)
    assert record["alignment"] == "0-0 1-1"


@pytest.mark.parametrize("output_format", ScoreFormat)
def test_hostile_pairs_have_one_line_each_at_any_batch_size(run, output_format):
    outputs = [run(HOSTILE, HOSTILE[::-1], sizes=size, format=output_format) for size in (1, 7, 64)]
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0]) == len(HOSTILE)


def test_pairs_come_from_standard_input_with_a_tab_between():
    model = str(trained_model())
    arguments = [f"model={model}", "progress=false", "threads=1", "precision=fp32"]
    found = call_here("score", *arguments, stdin=b"ba be\tbe ba\textra\nba\tbe\n")
    assert found.returncode == 0, found.stderr.decode()
    lines = found.stdout.decode().splitlines()
    assert [line.count("\t") for line in lines] == [3, 3]
    assert all(-20 < float(line.split("\t")[0]) < 0 for line in lines)
    broken = call_here("score", *arguments, stdin=b"a\tb\nno tab\n")
    assert broken.returncode == 1
    assert b"standard input, line 2: no TAB" in broken.stderr


def test_wrong_files_are_refused_before_the_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("translate.score.load_translator", lambda path, config: pytest.fail("loaded"))
    for name, text in (("two", "a\nb\n"), ("one", "a\n")):
        (tmp_path / name).write_text(text)
    two, one, output = (str(tmp_path / name) for name in ("two", "one", "output"))
    for options, message in (
        ({"source": two, "target": one}, "two has 2 lines, but .*one has 1"),
        ({"source": two}, "source and target belong together"),
        ({"source": two, "target": two, "input": one}, "input=.*leave one of them out"),
        ({"source": "-", "target": two}, "standard input has pairs SOURCE TAB TARGET"),
        ({"input": two, "output": two}, "that is the input itself"),
        ({"source": two, "target": one, "output": one}, "two has 2 lines"),
        ({"input": str(tmp_path / "none")}, "none"),
        ({"input": ""}, "must not be empty"),
    ):
        with pytest.raises(UserError, match=message):
            score(ScoreConfig(**{"model": "m", "output": output, **options}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_options_of_a_search_are_refused(tmp_path):
    (tmp_path / "pairs").write_text("a\tb\n")
    for options, message in (
        ({"rerank": RerankConfig(reverse="runs/back")}, "rerank orders the hypotheses of a search"),
        ({"constraints": ConstraintConfig(numbers=True)}, "constraints is for commands that translate lines"),
        ({"memory": MemoryConfig(path=str(tmp_path / "pairs"))}, "memory.path is for commands that translate lines"),
    ):
        with pytest.raises(UserError, match=message):
            score(ScoreConfig(model="m", input=str(tmp_path / "pairs"), **options))


def test_perplexity_of_impossible_translations_is_infinite():
    assert perplexity(0.0) == 1.0
    assert perplexity(-2000.0) == math.inf
    assert perplexity(-math.inf) == math.inf
