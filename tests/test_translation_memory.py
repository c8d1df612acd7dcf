"""Translation memories: matches against an independent search, and what becomes of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from add_matches import matched_pairs
from in_process import call_here
from trained_model import trained_model
from translate.decoding import translation_memory
from translate.decoding.config import DecodingConfig
from translate.decoding.constraints.constraints import ConstraintConfig
from translate.decoding.segmentation import Segment
from translate.decoding.translation_memory import MemoryMatcher, TranslationMemory
from translate.decoding.translation_memory_config import MemoryConfig
from translate.engines import load_translator
from translate.errors import UserError

pytest.importorskip("rapidfuzz", reason="the extra memory is not installed")
TMX = """<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="en"><seg>1 2 3 4 5</seg></tuv><tuv xml:lang="de"><seg>A B</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>8 9</seg></tuv><tuv xml:lang="de"><seg>C &amp; D</seg></tuv></tu>
</body></tmx>"""


def edit_distance(first: list[str], second: list[str]) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


@pytest.mark.parametrize("least", [0.3, 0.5, 0.7, 0.9])
def test_no_match_is_missed(least):
    chosen = random.Random(1)
    lines = [" ".join(chosen.choices("abcdefg", k=chosen.randint(1, 8))) for _ in range(150)]
    memory = TranslationMemory((line, f"target {number}") for number, line in enumerate(lines[:120]))
    for line in lines[120:]:
        similarities = [
            1 - edit_distance(line.split(), other.split()) / max(len(line.split()), len(other.split()))
            for other in lines[:120]
        ]
        match = memory.find(line, least)
        if max(similarities) < least - 1e-9:
            assert match is None
        else:
            assert match is not None
            assert match.similarity == pytest.approx(max(similarities))


def test_of_equal_sources_the_last_counts_and_a_line_may_leave_itself_out():
    memory = TranslationMemory([("a b c", "old"), ("a b c", "new"), ("a b d", "other")])
    assert memory.find("a b c", 0.6).target == "new"
    assert memory.find("a b c", 0.6, leave_out="a b c").target == "other"
    assert memory.find("x y z", 0.3) is None
    assert memory.find("", 0.3) is None


def test_memory_is_bounded(monkeypatch, caplog):
    monkeypatch.setattr(translation_memory, "MAX_PAIRS", 2)
    memory = TranslationMemory([("a", "A"), ("b", "B"), ("c", "C")])
    assert memory.find("c", 0.9) is None
    assert "only the first 2 pairs" in caplog.text


def test_decode_uses_equal_pairs_and_reports_similar_ones(tmp_path: Path):
    (tmp_path / "memory.tmx").write_text(TMX, encoding="utf-8")
    options = [f"memory.path={tmp_path / 'memory.tmx'}", f"memory.report={tmp_path / 'report'}"]
    lines = b"8 9\n1 2 3 4\n\n7\n"
    plain = call_here("decode", f"model={trained_model()}", stdin=lines).stdout.decode().split("\n")
    process = call_here("decode", f"model={trained_model()}", *options, stdin=lines)
    assert process.returncode == 0, process.stderr.decode()
    assert process.stdout.decode().split("\n") == ["C & D", *plain[1:]]
    assert (tmp_path / "report").read_text() == "1\t1.00\t8 9\tC & D\n2\t0.80\t1 2 3 4 5\tA B\n"
    assert b"1 of 4 lines are translated by the memory, 1 are similar to its pairs" in process.stderr


def test_a_model_trained_with_matches_reads_them():
    class Words:
        def encode_source(self, lines, *, tag=None):
            return [[tag, *line.split()] for line in lines]

    use = MemoryMatcher(TranslationMemory([("a b c", "A B C")]), MemoryConfig(symbol="<tm>", min_similarity=0.6))
    lines = [("<de>", "a b d"), ("", "x"), ("", "a b c")]
    segments = [[Segment(["a", "b", "d"])], [Segment(["x"])], [Segment(["a", "b", "c"])]]
    extended = use.extend(lines, segments, Words(), 20)
    assert [[segment.tokens for segment in each] for each in extended] == [
        [["<de>", "a", "b", "d", "<tm>", "A", "B", "C"]],
        [["x"]],
        [],
    ]
    assert use.extend(lines[:1], segments[:1], Words(), 5) == segments[:1], "too long for the model"


def test_training_pairs_get_the_match_of_another_pair():
    pairs = [("a b c", "A B C"), ("a b d", "A B D"), ("x y", "X Y"), ("x y", "X Y")]
    assert list(matched_pairs(pairs, symbol="<tm>", min_similarity=0.6)) == [
        ("a b c", "A B C"),
        ("a b c <tm> A B D", "A B C"),
        ("a b d", "A B D"),
        ("a b d <tm> A B C", "A B D"),
        ("x y", "X Y"),
        ("x y", "X Y"),
    ]


def test_options_that_cannot_work_are_errors(tmp_path: Path):
    (tmp_path / "memory.tsv").write_text("1\t2\n3\t4\n", encoding="utf-8")
    config = DecodingConfig(memory=MemoryConfig(path=str(tmp_path / "memory.tsv"), symbol="<tm>"))
    with pytest.raises(UserError, match=r"memory.symbol=<tm>: the model has no such symbol \(it has none\)"):
        load_translator(str(trained_model()), config)
    with pytest.raises(UserError, match=r"memory.min_similarity \(0.1\)"):
        MemoryConfig(min_similarity=0.1).check()
    with pytest.raises(UserError, match=r"set memory\.path=FILE"):
        MemoryConfig(report="report").check()
    with pytest.raises(UserError, match=r"memory.report=-: a report has a file of its own"):
        MemoryConfig(path=str(tmp_path / "memory.tsv"), report="-").check()


def test_a_memory_beside_constraints_is_a_warning(tmp_path: Path, caplog):
    (tmp_path / "memory.tsv").write_text("source\ttarget\n1\t2\n", encoding="utf-8")
    memory = MemoryConfig(path=str(tmp_path / "memory.tsv"))
    load_translator(str(trained_model()), DecodingConfig(memory=memory))
    assert "constraints" not in caplog.text
    load_translator(str(trained_model()), DecodingConfig(memory=memory, constraints=ConstraintConfig(banned=["2"])))
    assert "lines that the memory has are translated by it as they are" in caplog.text
