"""Noisy versions of test sets, and the evaluate command that scores them; augmented training that resumes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fake_translators import copier
from small_runs import write_corpus
from stored_runs import assert_identical, train_here
from translate.data.augmentation.text import JOINS, KINDS
from translate.data.corpora import ParallelText
from translate.errors import UserError
from translate.evaluate import EvaluateConfig, RunScoring, evaluate_files, evaluate_noisy, read_evaluation_text
from translate.evaluation.robustness import noisy_version
from translate.text import read_lines, write_lines

SOURCE = ["one two, three.", "Four five.", "the six?", "seven.", "eight nine."]
TARGET = ["eins zwei, drei.", "Vier fünf.", "Sechs?", "sieben.", "acht neun."]
OTHER = ["Eins, zwei, drei.", "vier fünf", "die sechs?", "Sieben!", "Acht neun."]
LABELS = [["a"], ["a"], ["b"], ["b"], ["b"]]


def test_set(**changes) -> ParallelText:
    fields = {"name": "set", "source": SOURCE, "target": TARGET, "labels": LABELS, "reference_paths": ["ref"]}
    return ParallelText(**{**fields, "further_references": [OTHER], **changes})


test_set.__test__ = False


@pytest.fixture
def table(tmp_path) -> str:
    write_lines(tmp_path / "synonyms.tsv", ["six\tsixth", "four\tthe fourth\tIV"])
    return str(tmp_path / "synonyms.tsv")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in JOINS])
def test_noisy_version_has_the_same_lines_every_time_and_one_source_for_all_references(kind, table):
    noisy = noisy_version(test_set(), kind, synonyms_file=table)
    assert noisy == noisy_version(test_set(), kind, synonyms_file=table)
    assert (noisy.name, noisy.labels, noisy.reference_paths) == (f"set with {kind}", LABELS, [])
    assert noisy.source != SOURCE
    only_first = noisy_version(test_set(further_references=[]), kind, synonyms_file=table)
    assert (only_first.source, only_first.target) == (noisy.source, noisy.target)
    second = noisy_version(test_set(target=OTHER, further_references=[]), kind, synonyms_file=table)
    assert (second.source, [second.target]) == (noisy.source, noisy.further_references)
    # a line keeps its noise where others are left out behind it
    assert noisy_version(test_set(source=SOURCE[:2], target=TARGET[:2], further_references=[]), kind,
                         synonyms_file=table).source == noisy.source[:2]  # fmt: skip


def test_capitals_are_in_the_references_and_typos_are_not():
    assert noisy_version(test_set(), "capitals").references == [
        [line.upper() for line in side] for side in (TARGET, OTHER)
    ]
    assert noisy_version(test_set(), "typos").references == [TARGET, OTHER]


def test_joined_version_has_a_line_for_two():
    joined = noisy_version(test_set(), "joined")
    assert joined.source == ["one two, three. Four five.", "the six? seven."]
    assert joined.references == [
        ["eins zwei, drei. Vier fünf.", "Sechs? sieben."],
        ["Eins, zwei, drei. vier fünf", "die sechs? Sieben!"],
    ]
    assert joined.labels is None
    clauses = noisy_version(test_set(further_references=[]), "clauses", languages=("en", "de"))
    assert clauses.source[0] in ("one two, three, and Four five.", "one two, three, but Four five.")
    assert clauses.target[0] in ("eins zwei, drei, und Vier fünf.", "eins zwei, drei, aber Vier fünf.")
    assert clauses.source[1] == "the six? seven."
    with pytest.raises(UserError, match="noise=joined: a single line cannot be joined"):
        noisy_version(test_set(source=["a"], target=["b"], further_references=[]), "joined")


def test_tags_in_front_of_lines_are_no_text(table):
    """Lines with a tag are changed as those without, and joined with lines of the same tag."""
    tags = ["<2de>", "<2fr>", "<2de>", "<2fr>", "<2de>"]
    tagged = [f"{tag} {line}" for tag, line in zip(tags, SOURCE, strict=True)]
    for kind in set(KINDS) - set(JOINS):
        noisy = noisy_version(test_set(source=tagged), kind, synonyms_file=table, tags=["<2de>", "<2fr>"])
        plain = noisy_version(test_set(), kind, synonyms_file=table)
        assert noisy.source == [f"{tag} {line}" for tag, line in zip(tags, plain.source, strict=True)], kind
        assert noisy.references == plain.references
    joined = noisy_version(test_set(source=tagged), "joined", tags=["<2de>", "<2fr>"])
    assert joined.source == ["<2de> one two, three. the six?", "<2fr> Four five. seven."]
    assert joined.target == ["eins zwei, drei. Sechs?", "Vier fünf. sieben."]
    of_the_set = noisy_version(test_set(source=[f"<2de> {line}" for line in SOURCE], tag="<2de>"), "capitals")
    assert of_the_set.source == [f"<2de> {line.upper()}" for line in SOURCE]


def test_clauses_are_joined_in_all_references_or_in_none():
    text = test_set(source=["One.", "Two."], target=["Eins.", "Zwei."], further_references=[["Eins!", "Zwei."]])
    noisy = noisy_version(text, "clauses", languages=("English", "German"))
    assert (noisy.source, noisy.references) == (["One. Two."], [["Eins. Zwei."], ["Eins! Zwei."]])
    alone = noisy_version(replace(text, further_references=[]), "clauses", languages=("English", "German"))
    assert (alone.source, alone.target) in [
        ([f"One, {word} Two."], [f"Eins, {other} Zwei."]) for word, other in (("and", "und"), ("but", "aber"))
    ]


def make_config(tmp_path, **changes) -> EvaluateConfig:
    write_lines(tmp_path / "src", SOURCE)
    write_lines(tmp_path / "ref", SOURCE)
    files = {name: str(tmp_path / path) for name, path in (("source", "src"), ("reference", "ref"), ("model", "model"))}
    return EvaluateConfig(**files, bootstrap=0, progress=False, **changes)


def test_noisy_sets_are_scored_and_compared_in_a_table(tmp_path, capsys):
    """The model copies: right where the reference has the noise as well."""
    config = make_config(tmp_path, noise=["capitals", "typos", "joined"])
    config.check()
    text, run = read_evaluation_text(config), RunScoring.of({})
    clean = evaluate_files(copier(), text, config, run=run)
    evaluate_noisy(copier(), text, clean, config, run=run, languages=("", ""))
    folder = tmp_path / "model" / "evaluation" / "src"
    table = capsys.readouterr().out.partition("noise")[2].splitlines()
    rows = {row.split()[0]: row.split() for row in table[1:]}
    assert list(rows) == ["none", "capitals", "typos", "joined"]
    assert [rows[name][-1] for name in ("none", "capitals", "joined")] == ["100.0%"] * 3
    assert [row[1] for row in rows.values()] == ["5", "5", "5", "2"]
    assert float(rows["typos"][2]) < 60 < 99 < float(rows["capitals"][2])
    page = (folder / "robustness.md").read_text(encoding="utf-8")
    assert page.count("|\n") == 6
    assert list(read_lines(folder / "capitals" / "source.txt")) == [line.upper() for line in SOURCE]
    assert list(read_lines(folder / "capitals" / "references.txt")) == [line.upper() for line in SOURCE]
    assert list(read_lines(folder / "joined" / "hypotheses.txt")) == ["one two, three. Four five.", "the six? seven."]
    assert (folder / "typos" / "report.md").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": ["shouting"]}, "noise=shouting: unknown noise; choose from capitals, title_case"),
        ({"noise": ["synonyms"]}, "noise=synonyms needs synonyms_file=FILE"),
        ({"noise": ["synonyms"], "synonyms_file": "/nowhere"}, "/nowhere: no such file"),
    ],
)
def test_noise_that_there_is_not_is_refused_before_the_work(changes, message, tmp_path):
    with pytest.raises(UserError) as error:
        make_config(tmp_path, **changes).check()
    assert message in str(error.value)


def test_augmented_run_resumes_exactly(tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    shares = {f"augmentation__{kind}": 0.2 for kind in ("emoji", "capitals", "joined", "clauses")}
    # a schedule that does not look at the run's end, which differs between the two parts
    settings = {**shares, "schedule__name": "inverse_sqrt", "run__max_steps": 14, "switch_out__source": 0.5}
    train_here(corpus, tmp_path / "whole", **settings)
    train_here(corpus, tmp_path / "parts", **settings | {"run__max_steps": 6})
    train_here(corpus, tmp_path / "parts", **settings)
    assert_identical(tmp_path / "parts", tmp_path / "whole")
    plain = dict.fromkeys(shares, 0.0)
    train_here(corpus, tmp_path / "plain", **settings | plain)
    with pytest.raises(AssertionError):
        assert_identical(tmp_path / "plain", tmp_path / "whole")
    with pytest.raises(UserError, match=r"augmentation\.emoji: 0\.2 there, 0\.0 now"):
        train_here(corpus, tmp_path / "parts", **settings | plain)
