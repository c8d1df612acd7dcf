"""Filters in the preparation: by corpus, in the report, in the names of the cache, and against held-out sets."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from in_process import call_here
from small_data import SOURCE, TARGET, TOKENIZER, cache_state, make_data, write_pairs
from translate.data.cleaning import CleaningConfig, CleaningReport
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.data.filters.config import FILTER_REASONS, FilterConfig
from translate.data.filters.corpus_filters import RULES, sample_pairs
from translate.data.prepare import Prepared, prepare
from translate.data.report import data_report
from translate.errors import UserError
from translate.text import write_lines

SENTENCES = [
    ("The children are playing in the garden behind the house.", "Die Kinder spielen im Garten hinter dem Haus."),
    ("A man with a red hat is waiting for the train.", "Ein Mann mit einem roten Hut wartet auf den Zug."),
    ("She has never read a book about the history of music.", "Sie hat nie ein Buch über Musikgeschichte gelesen."),
    ("We should talk about it again when everybody is here.", "Wir sollten darüber reden, wenn alle hier sind."),
]
# numbered, so that no two are equal
ENGLISH = [f"{SENTENCES[n % 4][0]} It was number {100 + n}." for n in range(120)]
GERMAN = [f"{SENTENCES[n % 4][1]} Es war Nummer {100 + n}." for n in range(120)]
PLANTED = {
    10: ("Is this the last one of them?", "Das ist der letzte von ihnen.", "punctuation"),
    20: ("They have sold 57 of their cars.", "Sie haben 75 von ihren Autos verkauft.", "numbers"),
    30: ("Read more of it at www.example.org today.", "Lesen Sie heute mehr davon.", "addresses"),
    40: ("A line of a text that says something.", "и ещё одна строка из другого текста", "script"),
    50: ("We know it, and this is all.", "Wir wissen wissen wissen wissen wissen es.", "repetition"),
    60: ("You can leave the house by the back door.", "Vous pouvez quitter la maison par derrière.", "language"),
    70: ("He often says yes.", "Er sagt zu allem nur ja und das schon, seit er hier bei uns ist.", "length_factor"),
}
ALL = FilterConfig(
    length_factor=3, numbers=True, addresses=True, punctuation=True, script=True, repetition=4, language=True
)


def dropped_lines(report: CleaningReport, name: str) -> list[int]:
    return [example.line for example in report.examples.get(FILTER_REASONS[name], [])]


def kept(prepared: Prepared) -> list[tuple[str, str]]:
    return list(zip(*prepared.train.texts(np.arange(len(prepared.train))), strict=True))


@pytest.fixture
def planted(tmp_path: Path) -> DataConfig:
    source, target = list(ENGLISH), list(GERMAN)
    for index, (bad_source, bad_target, _) in PLANTED.items():
        source[index], target[index] = bad_source, bad_target
    return DataConfig(
        cache=f"{tmp_path}/cache",
        train=write_pairs(tmp_path / "train", source, target),
        valid=write_pairs(tmp_path / "valid", ENGLISH[:5], GERMAN[:5]),
    )


def test_each_filter_drops_what_was_planted_for_it_and_the_report_shows_it(planted: DataConfig):
    planted.cleaning.filters = ALL
    prepared = prepare(planted, TOKENIZER)
    found = {name: dropped_lines(prepared.cleaning, name) for name in RULES if name != "min_score"}
    assert found == {name: [index + 1] for index, (_, _, name) in PLANTED.items()}
    assert prepared.cleaning.kept == len(ENGLISH) - len(PLANTED)
    table = prepared.cleaning.table()
    page = data_report(planted, prepared).markdown
    for name in found:
        assert f"dropped: {FILTER_REASONS[name]} " in table
        assert f"**dropped: {FILTER_REASONS[name]}**, 1" in page
    assert "- data.train line 61: `You can leave the house by the back door.`" in page


def test_nothing_is_dropped_unless_a_filter_is_switched_on(planted: DataConfig):
    assert prepare(planted, TOKENIZER).cleaning.dropped == {}


def test_a_corpus_has_its_own_filters_over_the_common_ones(planted: DataConfig, tmp_path: Path):
    bad = [PLANTED[index][:2] for index in (10, 20)]
    extra = write_pairs(tmp_path / "extra", [pair[0] for pair in bad], [pair[1] for pair in bad])
    planted.additional = [replace(extra, filters=FilterConfig(numbers=False, punctuation=True))]
    planted.cleaning.filters = FilterConfig(numbers=True)
    prepared = prepare(planted, TOKENIZER)
    assert prepared.cleaning.dropped == {FILTER_REASONS["numbers"]: 1, FILTER_REASONS["punctuation"]: 1}
    examples = [(e.corpus, e.line) for found in prepared.cleaning.examples.values() for e in found]
    assert sorted(examples) == [("data.additional[0]", 1), ("data.train", 21)]


def test_a_reversed_corpus_is_judged_by_its_own_languages(planted: DataConfig):
    planted.additional = [CorpusConfig(source=planted.train.target, target=planted.train.source, tag="<reverse>")]
    planted.cleaning.filters = FilterConfig(language=True)
    report = prepare(planted, TOKENIZER).cleaning
    assert report.dropped == {FILTER_REASONS["language"]: 4}  # of each: the French line, and the Russian one
    assert {e.corpus for e in report.examples[FILTER_REASONS["language"]]} == {"data.train", "data.additional[0]"}


def test_scores_come_from_a_column_a_file_or_a_key(tmp_path: Path):
    scores = ["0.9", "0.1", "none", *["0.5"] * 397]
    data = make_data(tmp_path, SOURCE, TARGET)
    write_lines(f"{tmp_path}/scores", scores)
    rows = list(zip(SOURCE, TARGET, scores, strict=True))
    write_lines(f"{tmp_path}/t.tsv", ["a\tb\tc", *("\t".join(row) for row in rows)])
    numbers = [score if score != "none" else "null" for score in scores]
    records = [f'{{"a": "{a}", "b": "{b}", "c": {c}}}' for a, b, c in zip(SOURCE, TARGET, numbers, strict=True)]
    write_lines(f"{tmp_path}/t.jsonl", records)
    for corpus in (
        replace(data.train, score=f"{tmp_path}/scores"),
        CorpusConfig(path=f"{tmp_path}/t.tsv", source="a", target="b", score="c"),
        CorpusConfig(path=f"{tmp_path}/t.jsonl", source="a", target="b", score="c"),
    ):
        data.train = replace(corpus, filters=FilterConfig(min_score=0.5))
        report = prepare(data, TOKENIZER).cleaning
        assert report.dropped == {"low score": 2}
        assert [e.source for e in report.examples["low score"]] == [line[:60] for line in SOURCE[1:3]]


def test_mistakes_in_scores_are_named(tmp_path: Path):
    data = make_data(tmp_path, SOURCE, TARGET)
    write_lines(f"{tmp_path}/few", ["1"] * 399)
    write_lines(f"{tmp_path}/words", ["good"] * 400)
    data.cleaning.filters.min_score = 0.0
    with pytest.raises(UserError, match=r"min_score: no training corpus has scores: set data\.train\.score"):
        data.check()
    for name, message in (("few", "number of scores differs from the number of pairs"), ("words", "has no numbers")):
        data.train.score = f"{tmp_path}/{name}"
        with pytest.raises(UserError, match=rf"^data\.train\.score: .*{message}"):
            prepare(data, TOKENIZER)


def judge(folder: Path, condition: str) -> list[str]:
    split = "source, target = line.rstrip('\\n').split('\\t')"
    program = f"import sys\nfor line in sys.stdin:\n    {split}\n    print(int({condition}))\n"
    (folder / "judge.py").write_text(program)
    return [sys.executable, str(folder / "judge.py")]


def test_a_command_rejects_pairs_and_another_script_makes_other_text(tmp_path: Path):
    data = make_data(tmp_path, SOURCE, TARGET)
    data.cleaning.filters.command = judge(tmp_path, "'ba' not in source")
    first = prepare(data, TOKENIZER)
    assert kept(first) == [pair for pair in zip(SOURCE, TARGET, strict=True) if "ba" not in pair[0]]
    assert first.cleaning.dropped == {"rejected by the command": 400 - len(first.train)}
    before = cache_state(data)
    assert prepare(data, TOKENIZER).fingerprint == first.fingerprint
    assert cache_state(data) == before
    judge(tmp_path, "'dor' not in source")
    assert prepare(data, TOKENIZER).fingerprint != first.fingerprint


def test_pairs_that_a_command_rejects_are_not_held_out(tmp_path: Path):
    # the same text with and without the command: what is rejected would be held out
    data = DataConfig(cache=f"{tmp_path}/cache", train=write_pairs(tmp_path / "train", SOURCE, TARGET))
    usual = prepare(data, TOKENIZER)
    unwanted = usual.valid.source[0]
    data.cleaning.filters.command = judge(tmp_path, f"source != {unwanted!r}")
    prepared = prepare(data, TOKENIZER)
    assert prepared.test is not None
    assert unwanted not in prepared.valid.source + prepared.test.source
    assert unwanted not in [source for source, _ in kept(prepared)]


def test_a_failing_command_leaves_no_text_in_the_cache(tmp_path: Path):
    data = make_data(tmp_path, SOURCE, TARGET)
    data.cleaning.filters.command = [sys.executable, "-c", "raise SystemExit(5)"]
    with pytest.raises(UserError, match=r"^data\.train: filters\.command .* has ended with status 5"):
        prepare(data, TOKENIZER)
    assert not list(Path(data.cache).glob("text-*/report.json"))


def test_every_setting_of_a_filter_changes_the_fingerprint(planted: DataConfig):
    settings = [
        FilterConfig(),
        FilterConfig(numbers=True),
        FilterConfig(addresses=True),
        FilterConfig(length_factor=2),
        FilterConfig(length_factor=3),
        FilterConfig(near_duplicates=0.7),
        FilterConfig(command=judge(Path(planted.cache).parent, "True")),
        FilterConfig(command=judge(Path(planted.cache).parent, "True"), min_answer=0.7),
    ]
    fingerprints = []
    for filters in settings:
        planted.cleaning.filters = filters
        fingerprints.append(prepare(planted, TOKENIZER).fingerprint)
    assert len(set(fingerprints)) == len(settings)
    # what is off is no setting
    off = FilterConfig(numbers=False, length_factor=0.0, repetition=0, command=[])
    for filters in (off, FilterConfig(min_answer=0.1)):
        planted.cleaning.filters = filters
        assert prepare(planted, TOKENIZER).fingerprint == fingerprints[0]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.cleaning.filters.length_factor=0.5", "must be at least 1.1"),
        ("data.cleaning.filters.near_duplicates=0.3", "must be at least 0.7 and at most 1.0"),
        ("data.train.filters.repetition=1", "data.train.filters.repetition (1) must be at least 2"),
        ("data.train.filters.min_score=1", "data.train.score must name the column of the scores"),
        ("data.valid.filters.numbers=true", "data.valid.filters.numbers: only training text is cleaned"),
        ("data.cleaning.filters.command=['']", "its first word is empty"),
        ("data.cleaning.filters.langauge=true", "did you mean data.cleaning.filters.language?"),
        ("data.train.score=nowhere", "data.train.score=nowhere"),
    ],
)
def test_wrong_settings_are_refused(option: str, message: str, planted: DataConfig):
    corpora = [f"data.train.{side}={getattr(planted.train, side)}" for side in ("source", "target")]
    done = call_here("prepare", *corpora, f"data.cache={planted.cache}", option)
    assert done.returncode == 1
    assert message in done.stderr.decode()


@pytest.mark.parametrize(("name", "package"), [("language", "py3langid"), ("near_duplicates", "rensa")])
def test_a_missing_package_is_named_with_its_command(
    name: str, package: str, planted: DataConfig, monkeypatch: pytest.MonkeyPatch
):
    for module in [*(each for each in sys.modules if each.partition(".")[0] == package), package]:
        monkeypatch.setitem(sys.modules, module, None)
    planted.cleaning.filters = FilterConfig(**{name: 1})
    with pytest.raises(UserError, match=rf"data\.cleaning\.filters\.{name} needs .*pip install '.*\[cleaning\]'"):
        prepare(planted, TOKENIZER)


def test_languages_need_lines_that_are_long_enough(tmp_path: Path):
    data = make_data(tmp_path, [f"yes {n}" for n in range(50)], [f"ja {n}" for n in range(50)])
    data.cleaning.filters.language = True
    with pytest.raises(
        UserError, match=r"^data\.train\.source: only 0 lines are long enough .* filters\.language=false"
    ):
        prepare(data, TOKENIZER)


def test_samples_are_spread_evenly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("translate.data.filters.corpus_filters._MAX_SAMPLE", 10)
    assert list(sample_pairs((str(n), "") for n in range(8)).sources) == [str(n) for n in range(8)]
    assert list(sample_pairs((str(n), "") for n in range(100)).sources) == [str(n) for n in range(0, 100, 16)]


def test_every_filter_has_a_reason_in_the_table():
    assert set(FILTER_REASONS) == {*RULES, "command", "near_duplicates"}
    report = CleaningReport(total=100)
    for reason in FILTER_REASONS.values():
        report.drop(reason, [])
    assert all(f"dropped: {reason}" in report.table() for reason in FILTER_REASONS.values())
    assert CleaningConfig() == CleaningConfig(filters=FilterConfig())
