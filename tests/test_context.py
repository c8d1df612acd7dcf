"""Context: previous lines of a document in front of a source line, in training and in decoding."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from in_process import call_here
from small_runs import options
from translate.api import load_model
from translate.data.context import ContextWindow, require_separator
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.data.readers import read_pairs_in_context, read_parallel_text
from translate.decoding.config import DecodingConfig
from translate.decoding.context import ContextSplitting, context_of
from translate.decoding.segmentation import Segment
from translate.engines import load_translator
from translate.errors import UserError
from translate.text import read_lines


def joined(lines: list[str], size: int, documents: list[str] | None = None) -> list[str]:
    window = ContextWindow(size)
    return [window.join(*each) for each in zip(lines, documents or [""] * len(lines), strict=True)]


def test_a_line_is_behind_the_lines_before_it():
    assert joined(["a", "b", "c", "d"], 2) == ["<sep> a", "a <sep> b", "a <sep> b <sep> c", "b <sep> c <sep> d"]
    assert joined(["a", "b"], 0) == ["a", "b"]


def test_blank_lines_and_names_end_documents():
    assert joined(["a", "", "b", " ", "c"], 1) == ["<sep> a", "", "<sep> b", " ", "<sep> c"]
    assert joined(["a", "b", "c"], 1, ["x", "y", "y"]) == ["<sep> a", "<sep> b", "b <sep> c"]


def test_a_line_with_its_own_context_keeps_it():
    assert joined(["a", "x <sep> b", "c", "<sep> d"], 1) == ["<sep> a", "x <sep> b", "b <sep> c", "<sep> d"]


class Words:
    """A word is a token."""

    @staticmethod
    def encode(texts, *, tag=None):
        return [[*([tag] if tag else []), *text.split()] for text in texts]


def test_segments_have_earlier_segments_of_their_line_as_context():
    def split(line, tokens):
        return [Segment(part.split(), text=part) for part in line.split(". ")]

    splitting = ContextSplitting(1, split, Words.encode, max_tokens=4)
    lines = [("", "a. b"), ("", "c"), ("", ""), ("", "d"), ("", "x y <sep> e"), ("", "f g h i")]
    found = [[" ".join(segment.tokens) for segment in own] for own in splitting.split_lines(lines)]
    assert found == [["<sep> a", "a <sep> b"], ["b <sep> c"], [], ["<sep> d"], ["x y <sep> e"], ["f g h i"]]


def test_a_manifest_with_more_context_than_any_model_has_is_refused():
    with pytest.raises(UserError, match=r"context \(101\): at most 100"):
        context_of({"context": 101})


def test_context_that_does_not_fit_loses_its_earliest_sentences():
    def split(line, tokens):
        return [Segment(tokens, text=line)]

    splitting = ContextSplitting(2, split, Words.encode, max_tokens=5)
    found = splitting.split_lines([("", "a b"), ("", "c"), ("", "d e")])
    assert [" ".join(own[0].tokens) for own in found] == ["<sep> a b", "a b <sep> c", "c <sep> d e"]


def test_sets_have_their_context_when_they_are_read(tmp_path):
    (tmp_path / "a").write_text("one\ntwo\n\nthree\n")
    (tmp_path / "names").write_text("x\ny\ny\ny\n")
    corpus = CorpusConfig(source=str(tmp_path / "a"), target=str(tmp_path / "a"), context=1, tag="<t>")
    text = read_parallel_text(corpus, key="data.test")
    assert text.source == ["<t> <sep> one", "<t> one <sep> two", "<t> ", "<t> <sep> three"]
    assert text.target == ["one", "two", "", "three"]
    named = CorpusConfig(source=corpus.source, target=corpus.target, context=1, document=str(tmp_path / "names"))
    assert [source for source, _ in read_pairs_in_context(named, key="k")][:2] == ["<sep> one", "<sep> two"]


def test_documents_of_a_table_are_named_by_a_column(tmp_path):
    (tmp_path / "t.jsonl").write_text(
        "".join(
            json.dumps({"en": line, "de": line, "doc": name}) + "\n" for name, line in ((1, "a"), (1, "b"), (2, "c"))
        )
    )
    corpus = CorpusConfig(path=str(tmp_path / "t.jsonl"), source="en", target="de", context=1, document="doc")
    assert [source for source, _ in read_pairs_in_context(corpus, key="k")] == ["<sep> a", "a <sep> b", "<sep> c"]


def test_corpora_without_context_have_the_fingerprints_of_before():
    corpus = CorpusConfig(source="a", target="b")
    assert corpus.content(["h"]) == ["text", ["h"], [], ""]
    data = DataConfig(train=corpus, context=2)
    [(_, config)] = data.training_corpora
    assert config.content(["h"])[-1] == ["context", 2, ""]


def write_documents(folder: Path) -> Path:
    """Documents of two lines: a letter, then "it", whose translation is that letter."""
    source = random.Random(1)
    folder.mkdir()
    for split, count in (("train", 700), ("valid", 20), ("test", 20)):
        letters = [source.choice("abcd") for _ in range(count)]
        numbers = [" ".join(source.choice("0123456789") for _ in range(3)) for _ in range(count)]
        first = [f"{letter} {number}" for letter, number in zip(letters, numbers, strict=True)]
        (folder / f"{split}.src").write_text("".join(f"{line}\nit {line[::-1][:3]}\n\n" for line in first))
        (folder / f"{split}.tgt").write_text("".join(f"{line}\n{line[0]} {line[::-1][:3]}\n\n" for line in first))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    changes = {
        "data__context": 1,
        "tokenizer__vocab_size": 26,
        "run__max_steps": 220,
        "validation__every": 110,
        "run__save_every": 220,
        "data__cleaning__max_ratio": 0,
    }
    process = call_here("train", *options(write_documents(folder / "corpus"), folder / "run", **changes))
    assert process.returncode == 0, process.stderr.decode()
    return folder / "run"


def decode(run: Path, source: Path, output: Path, *more: str) -> list[str]:
    words = [f"model={run}", f"input={source}", f"output={output}", "search=greedy", "threads=1", "workers=1", *more]
    process = call_here("decode", *words)
    assert process.returncode == 0, process.stderr.decode()
    return list(read_lines(output))


def right(hypotheses: list[str], references: list[str]) -> int:
    return sum(a[:1] == b[:1] for a, b in list(zip(hypotheses, references, strict=True))[1::3])


def test_the_second_line_is_translated_by_the_first(run, tmp_path):
    assert json.loads((run / "best/manifest.json").read_text())["context"] == 1
    corpus = run.parent / "corpus"
    source, references = list(read_lines(corpus / "test.src")), list(read_lines(corpus / "test.tgt"))
    together = decode(run, corpus / "test.src", tmp_path / "together")
    assert right(together, references) >= 18
    # without the line before it, there is nothing to know "it" by
    (tmp_path / "apart.src").write_text("".join(f"{line}\n\n" for line in source))
    apart = decode(run, tmp_path / "apart.src", tmp_path / "apart")[::2]
    assert right(apart, references) <= 15
    # the run's own scores are of lines in their context
    hypotheses = list(read_lines(run / "evaluation/hypotheses.txt"))
    assert right(hypotheses, references) >= 18


def test_windows_resuming_and_evaluation_keep_the_context(run, tmp_path, monkeypatch):
    corpus = run.parent / "corpus"
    together = decode(run, corpus / "test.src", tmp_path / "together")
    for window in (1, 4):
        monkeypatch.setattr("translate.text.WINDOW", window)
        assert decode(run, corpus / "test.src", tmp_path / f"by {window}") == together
        assert decode(run, corpus / "test.src", tmp_path / f"kept {window}", "resume=true") == together
    files = [f"source={corpus}/test.src", f"reference={corpus}/test.tgt", f"output={tmp_path / 'out'}"]
    process = call_here("evaluate", f"model={run}", *files, "search=greedy", "bootstrap=0", "threads=1", "workers=1")
    assert process.returncode == 0, process.stderr.decode()
    assert list(read_lines(tmp_path / "out/hypotheses.txt")) == together


def test_scores_of_lines_in_context_depend_on_no_window(run, tmp_path, monkeypatch):
    corpus = run.parent / "corpus"
    source, target = ([*read_lines(corpus / f"test.{side}")] for side in ("src", "tgt"))

    def scores(lines: list[str], window: int = 2000) -> list[float]:
        monkeypatch.setattr("translate.text.WINDOW", window)
        pairs = "".join(f"{line}\t{given}\n" for line, given in zip(lines, target, strict=True))
        process = call_here("score", f"model={run}", "threads=1", "precision=fp32", stdin=pairs.encode())
        assert process.returncode == 0, process.stderr.decode()
        return [float(line.split("\t")[0]) for line in process.stdout.decode().splitlines()]

    together = scores(source)
    for window in (1, 4):
        assert scores(source, window) == pytest.approx(together, abs=1e-5)
    given = [f"{source[index - 1]} <sep> {line}" if line else "" for index, line in enumerate(source)]
    assert scores(given)[1::3] == pytest.approx(together[1::3], abs=1e-5)


def test_context_that_is_too_long_is_shortened_for_a_score(run):
    translator = load_translator(run, DecodingConfig(threads=1, workers=1))
    long = "1 " * (translator.engine.max_length - 2)
    _, within = translator.score([long, "it 1"], ["1", "a 1"])
    [alone] = translator.score(["<sep> it 1"], ["a 1"])
    assert within.scores is not None
    assert within.pair == alone.pair


def test_explanations_are_of_lines_in_context(run):
    _, explanation = load_model(run).explain(["b 1", "it 1"], ["b 1", "b 1"])
    assert explanation.source_text == "b 1 <sep> it 1"


def test_a_document_is_translated_with_context(run, tmp_path):
    corpus = run.parent / "corpus"
    lines = [line for line in read_lines(corpus / "test.src") if line]
    references = [line for line in read_lines(corpus / "test.tgt") if line]
    rows = "".join(f"<p>{line}</p>\n" for line in lines)
    (tmp_path / "page.html").write_text(f"<html><body>{rows}</body></html>")
    decode(run, tmp_path / "page.html", tmp_path / "out.html", "target_language=de")
    found = re.findall("<p>(.*?)</p>", (tmp_path / "out.html").read_text())
    assert len(found) == len(references)
    assert sum(a[:1] == b[:1] for a, b in zip(found[1::2], references[1::2], strict=True)) >= 17


def test_windows_of_a_document_keep_its_context(run, tmp_path, monkeypatch):
    # numbers alone are not translated, and are no context
    rows = "".join(
        f"<p>{letter} {number}</p>\n<p>7</p>\n<p>it {number}</p>\n" for number, letter in enumerate("abcdab")
    )
    (tmp_path / "page.html").write_text(f"<html><body>{rows}</body></html>")
    decode(run, tmp_path / "page.html", tmp_path / "together.html", "target_language=de")
    monkeypatch.setattr("translate.decode.WINDOW", 1)
    decode(run, tmp_path / "page.html", tmp_path / "alone.html", "target_language=de")
    assert (tmp_path / "alone.html").read_text() == (tmp_path / "together.html").read_text()


def test_settings_that_do_not_go_with_context_are_refused(run, tmp_path):
    corpus = run.parent / "corpus"
    process = call_here("train", *options(corpus, tmp_path / "new", data__context=1, augmentation__typos=0.1))
    assert b"take lines out of context" in process.stderr
    with pytest.raises(UserError, match="no symbol <sep>"):
        require_separator(SimpleNamespace(user_symbols=("<nl>",)))
    words = {"adapt": "full", "adapt__model": run, "tokenizer__vocab_size": None, "tokenizer__byte_fallback": None}
    process = call_here("train", *options(corpus, tmp_path / "adapted", **words))
    assert b"adapt.model was trained with data.context=1" in process.stderr
