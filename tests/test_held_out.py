"""Without a validation set, pairs are held out from the training text, and nothing of them is trained on."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from in_process import call_here
from small_data import SOURCE, TARGET, TOKENIZER, WORDS, cache_state, write_pairs
from small_runs import options, write_corpus
from translate.data import held_out_choice
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.held_out_choice import sentence_key
from translate.data.prepare import Prepared, prepare
from translate.data.report import data_report
from translate.errors import UserError
from translate.text import read_lines, write_lines
from translate.training.back_translation import reverse_of
from translate.training.config import TrainConfig

# by chance near the 8 that two percent of 400 are, and for ever the same
NUM_VALID, NUM_TEST = 7, 11
NUM_HELD_OUT = NUM_VALID + NUM_TEST
PAIRS = list(zip(SOURCE, TARGET, strict=True))


def data_of(folder: Path, pairs: list[tuple[str, str]], name: str = "train") -> DataConfig:
    train = write_pairs(folder / name, [source for source, _ in pairs], [target for _, target in pairs])
    return DataConfig(cache=f"{folder}/cache", train=train)


def held_out_pairs(prepared: Prepared) -> list[tuple[str, str]]:
    assert prepared.test is not None
    sets = (prepared.valid, prepared.test)
    return [pair for text in sets for pair in zip(text.source, text.target, strict=True)]


def training_pairs(prepared: Prepared) -> list[tuple[str, str]]:
    return list(zip(*prepared.train.texts(np.arange(len(prepared.train))), strict=True))


def letters(line: str) -> str:
    """Without case, digits and punctuation, for text of Latin letters."""
    return " ".join(re.sub("[^a-zü]", " ", line.lower()).split())


def test_two_percent_each_are_held_out_and_no_longer_trained_on(tmp_path: Path):
    prepared = prepare(data_of(tmp_path, PAIRS), TOKENIZER)
    assert prepared.test is not None
    assert (len(prepared.valid), len(prepared.test)) == (NUM_VALID, NUM_TEST)
    held, trained = held_out_pairs(prepared), training_pairs(prepared)
    assert len(set(held)) == NUM_HELD_OUT
    assert sorted(held + trained) == sorted(PAIRS)
    assert prepared.held_out is not None
    assert prepared.held_out.sizes == {"valid": NUM_VALID, "test": NUM_TEST}


def test_number_of_held_out_pairs_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(held_out_choice, "_MOST_PAIRS", 3)
    assert len(held_out_pairs(prepare(data_of(tmp_path, PAIRS), TOKENIZER))) == 6


def test_near_equal_sentences_stay_on_one_side(tmp_path: Path):
    variants = [pair for s, t in PAIRS for pair in ((s, t), (f"{s.upper()[:-1]} 12!", f"{t} 12"), (f"«{s}»", f"- {t}"))]
    prepared = prepare(data_of(tmp_path, variants), TOKENIZER)
    held = {letters(line) for pair in held_out_pairs(prepared) for line in pair}
    trained = {letters(line) for pair in training_pairs(prepared) for line in pair}
    assert not held & trained
    assert len(held_out_pairs(prepared)) == NUM_HELD_OUT  # of 400 different pairs
    assert len(training_pairs(prepared)) == 3 * (400 - NUM_HELD_OUT)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Hi.", "hi!"),
        ("Room 12, please", "ROOM 7 -- please"),
        ("  two   spaces ", "two spaces"),
        ("STRASSE", "Straße"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("「你好」", "你好。"),
        ("co\u00adoperate", "cooperate"),
        ("\u0663 \u0643\u062a\u0628", "\u0643\u062a\u0628"),
    ],
)
def test_keys_of_near_equal_sentences_are_equal(first: str, second: str):
    assert sentence_key(first) == sentence_key(second)


@pytest.mark.parametrize(
    ("first", "second"), [("1 2 3", "3 2 1"), ("?", "!"), ("कि", "की"), ("ab c", "a bc"), ("你", "好")]
)
def test_keys_of_different_sentences_differ(first: str, second: str):
    assert sentence_key(first) != sentence_key(second)


def test_held_out_pairs_depend_on_the_text_alone(tmp_path: Path):
    expected = held_out_pairs(prepare(data_of(tmp_path, PAIRS), TOKENIZER))
    shuffled = random.Random(1).sample(PAIRS, len(PAIRS))
    other = data_of(tmp_path, [*shuffled, ("", "leer"), ("same", "same"), shuffled[3]], "other")
    other.cache = f"{tmp_path}/second"
    assert held_out_pairs(prepare(other, TOKENIZER)) == expected


@pytest.mark.parametrize("kind", [CorpusFormat.tsv, CorpusFormat.jsonl])
def test_held_out_sets_are_equal_in_every_format(tmp_path: Path, kind: CorpusFormat):
    expected = held_out_pairs(prepare(data_of(tmp_path, PAIRS), TOKENIZER))
    lines = {
        CorpusFormat.tsv: [f"{source}\t{target}" for source, target in PAIRS],
        CorpusFormat.jsonl: [json.dumps({"1": source, "2": target}) for source, target in PAIRS],
    }
    write_lines(tmp_path / "file", lines[kind])
    train = CorpusConfig(format=kind, path=f"{tmp_path}/file", source="1", target="2")
    assert held_out_pairs(prepare(DataConfig(cache=f"{tmp_path}/cache", train=train), TOKENIZER)) == expected


def test_range_of_a_corpus_holds_out_only_its_pairs(tmp_path: Path):
    data = data_of(tmp_path, PAIRS)
    data.train.skip, data.train.take = 100, 200
    prepared = prepare(data, TOKENIZER)
    assert sorted(held_out_pairs(prepared) + training_pairs(prepared)) == sorted(PAIRS[100:300])


def test_held_out_pairs_stay_held_out_when_the_corpus_grows(tmp_path: Path):
    before = held_out_pairs(prepare(data_of(tmp_path, PAIRS[:250]), TOKENIZER))
    assert len(before) > 4
    assert set(before) <= set(held_out_pairs(prepare(data_of(tmp_path, PAIRS), TOKENIZER)))


def test_additional_corpora_exclude_held_out_sentences(tmp_path: Path):
    data = data_of(tmp_path, PAIRS)
    expected = held_out_pairs(prepare(data, TOKENIZER))
    data.additional = [
        replace(data.train, source=data.train.target, target=data.train.source, tag="<reverse>"),
        replace(write_pairs(tmp_path / "synthetic", [f"bt {line[::-1]}" for line in SOURCE], TARGET), tag="<bt>"),
        replace(write_pairs(tmp_path / "multi", SOURCE, [f"fr {line[::-1]}" for line in SOURCE]), tag="<fr>"),
    ]
    prepared = prepare(data, TOKENIZER)
    assert held_out_pairs(prepared) == expected
    trained = {line for pair in training_pairs(prepared) for line in pair}
    for source, target in expected:
        assert not {source, target, f"<reverse> {target}", f"<fr> {source}"} & trained
    assert len(prepared.train) == 4 * (400 - NUM_HELD_OUT)


def test_the_reverse_run_of_back_translation_holds_out_the_same_pairs(tmp_path: Path):
    config = TrainConfig(data=data_of(tmp_path, PAIRS))
    forward = held_out_pairs(prepare(config.data, TOKENIZER))
    backward = held_out_pairs(prepare(reverse_of(config, tmp_path).data, TOKENIZER))
    assert [(target, source) for source, target in backward] == forward


def test_the_held_out_text_is_raw_and_fit_for_training(tmp_path: Path):
    raw = [(f" {source}\x85 ", unicodedata.normalize("NFD", target)) for source, target in PAIRS]
    unfit = [("", TARGET[0]), ("  ", " "), ("same", "same"), ("x", "y" * 300)] * 100
    held = held_out_pairs(prepare(data_of(tmp_path, [*unfit, *raw]), TOKENIZER))
    assert len(held) == NUM_HELD_OUT
    assert set(held) <= set(raw)


def test_pairs_of_a_frequent_sentence_are_kept_for_training(tmp_path: Path):
    frequent = [("Yes.", f"Ja, {first} {second}.") for first in WORDS[:20] for second in WORDS[20:35]]
    prepared = prepare(data_of(tmp_path, frequent + PAIRS[300:]), TOKENIZER)
    assert "Yes." not in {source for source, _ in held_out_pairs(prepared)}
    assert sum(source == "Yes." for source, _ in training_pairs(prepared)) == 300


def test_labels_as_targets_may_be_shared(tmp_path: Path):
    data = data_of(tmp_path, [(line, "yes" if n % 2 else "no") for n, line in enumerate(SOURCE)])
    data.cleaning.max_ratio = 0
    prepared = prepare(data, replace(TOKENIZER, vocab_size=350))
    held, trained = held_out_pairs(prepared), training_pairs(prepared)
    assert 8 <= len(held) <= 32
    assert {target for _, target in held} == {"yes", "no"}
    assert sorted(held + trained) == sorted(zip(SOURCE, ["no", "yes"] * 200, strict=True))


def test_corpora_without_pairs_to_hold_out_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"data\.train: of 19 different usable pairs .* set data\.valid\.source=…"):
        prepare(data_of(tmp_path, [*PAIRS[:19], *PAIRS[:19], ("same", "same")]), TOKENIZER)
    with pytest.raises(UserError, match=r"of 19 different .*; cleaning dropped 2 of 21 pairs \(source = target: 2\)$"):
        prepare(data_of(tmp_path, [*PAIRS[:19], ("same", "same"), ("like", "like")]), TOKENIZER)
    with pytest.raises(UserError, match=r"cleaning left no training pairs (?s:.*)source = target +400  100\.0%"):
        prepare(data_of(tmp_path, [(line, line) for line in SOURCE]), TOKENIZER)
    alike = [(f"Chapter {n}", f"Kapitel {letter}") for n, letter in enumerate("abcdefghijklmnopqrstuvwxyz")]
    with pytest.raises(UserError, match=r"data\.train: its pairs are too similar"):
        prepare(data_of(tmp_path, alike), TOKENIZER)
    assert len(held_out_pairs(prepare(data_of(tmp_path, PAIRS[:20]), replace(TOKENIZER, vocab_size=320)))) == 2


def test_a_given_test_set_is_kept_and_a_given_validation_set_holds_nothing_out(tmp_path: Path):
    data = data_of(tmp_path, PAIRS)
    data.test = write_pairs(tmp_path / "test", ["new"], ["neu"])
    prepared = prepare(data, TOKENIZER)
    assert prepared.test is not None
    assert prepared.test.source == ["new"]
    assert len(prepared.valid) == NUM_VALID
    assert len(prepared.train) == 400 - NUM_VALID
    data.valid, data.test = data.test, CorpusConfig()
    prepared = prepare(data, TOKENIZER)
    assert (prepared.test, prepared.held_out, len(prepared.train)) == (None, None, 400)


@pytest.mark.parametrize(
    ("name", "option"), [("test", {"labels": "labels"}), ("test", {"take": 5}), ("valid", {"skip": 5})]
)
def test_options_of_a_set_without_its_text_are_refused_and_not_ignored(tmp_path: Path, name: str, option: dict):
    data = data_of(tmp_path, PAIRS)
    setattr(data, name, CorpusConfig(**option))
    message = (
        rf"data\.{name}: .* not specified; set data\.{name}.* \(without any data\.{name} option, pairs are held out"
    )
    with pytest.raises(UserError, match=message):
        prepare(data, TOKENIZER)


def test_held_out_sets_have_the_tag_of_the_training_text(tmp_path: Path):
    data = data_of(tmp_path, PAIRS)
    plain = prepare(data, TOKENIZER)
    data.train.tag = "<de>"
    tagged = prepare(data, TOKENIZER)
    assert tagged.valid.source == [f"<de> {line}" for line in plain.valid.source]
    assert tagged.valid.tag == "<de>"
    assert tagged.held_out is not None
    assert list(read_lines(tagged.held_out.directory / "valid.source")) == plain.valid.source
    assert tagged.fingerprint != plain.fingerprint


def test_second_preparation_reuses_the_held_out_sets(tmp_path: Path):
    data = data_of(tmp_path, PAIRS)
    first = prepare(data, TOKENIZER)
    before = cache_state(data)
    second = prepare(data, first.tokenizer)
    assert cache_state(data) == before
    assert (second.fingerprint, held_out_pairs(second)) == (first.fingerprint, held_out_pairs(first))


def test_data_report_counts_held_out_pairs(tmp_path: Path):
    data = data_of(tmp_path, [*PAIRS, *((source, "") for source in SOURCE)])  # blank targets give sources away, too
    report = data_report(data, prepare(data, TOKENIZER))
    splits = report.values["splits"]
    assert (splits["train"]["pairs"], splits["valid"]["pairs"], splits["test"]["pairs"]) == (
        2 * (400 - NUM_HELD_OUT),
        NUM_VALID,
        NUM_TEST,
    )
    assert [found["count"] for name in ("valid", "test") for found in splits[name]["overlap"].values()] == [0] * 6
    assert f"{NUM_HELD_OUT} like them that are in no set" in report.markdown
    assert report.warnings == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path, str]:
    """The arguments of a run on nothing but training text, its folder, and its log."""
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"))
    folder = tmp_path_factory.mktemp("runs") / "run"
    nothing = {f"data__{name}__{side}": None for name in ("valid", "test") for side in ("source", "target")}
    settings = {"data__train__tag": "<de>", "tokenizer__vocab_size": 23, "validation__every": 100}
    arguments = options(corpus, folder, data=None, **nothing, **settings, run__max_steps=200)
    result = call_here("train", *arguments)
    assert result.returncode == 0, result.stderr.decode()
    return arguments, folder, result.stderr.decode()


def test_run_without_validation_set_holds_one_out_and_logs_it(run):
    _, folder, log = run
    assert sorted(path.name for path in (folder / "held_out").iterdir()) == [
        "test.source",
        "test.target",
        "valid.source",
        "valid.target",
    ]
    said = [line for line in log.splitlines() if "held out from data.train" in line]
    assert len(said) == 1
    assert f"they are in {folder / 'held_out'} (your own: data.valid.source=… data.valid.target=…)" in said[0]
    assert f"sacrebleu {folder / 'held_out' / 'test.target'} -i" in log
    targets = list(read_lines(folder / "held_out" / "test.target"))
    assert [line[::-1] for line in targets] == list(read_lines(folder / "held_out" / "test.source"))


def test_run_with_held_out_sets_resumes_and_evaluate_reproduces_its_score(run, tmp_path):
    arguments, folder, _ = run
    before = {path: path.stat().st_mtime_ns for path in (folder / "held_out").iterdir()}
    result = call_here("train", *arguments, "run.max_steps=210")
    assert b"continuing from step 200" in result.stderr, result.stderr.decode()
    assert {path: path.stat().st_mtime_ns for path in (folder / "held_out").iterdir()} == before
    texts = [
        f"{option}={folder / 'held_out' / name}"
        for option, name in (("source", "test.source"), ("reference", "test.target"))
    ]
    repeated = call_here("evaluate", f"model={folder}", *texts, f"output={tmp_path}", "search=greedy")
    assert repeated.returncode == 0, repeated.stderr.decode()
    scores = [re.findall(r"chrF2 +(\S+)", output.decode())[-1] for output in (result.stderr, repeated.stdout)]
    assert scores[0] == scores[1] != "0.0"


def test_prepare_reports_without_a_validation_set_and_writes_the_sets_beside_the_report(tmp_path):
    corpus = write_corpus(tmp_path)
    arguments = [f"data.train.{side}={corpus}/train.{end}" for side, end in (("source", "src"), ("target", "tgt"))]
    arguments += [f"data.cache={tmp_path}/cache", "tokenizer.vocab_size=22", "tokenizer.byte_fallback=false"]
    result = call_here("prepare", *arguments, "data.cleaning.drop_copies=false", f"output={tmp_path}/out")
    assert result.returncode == 0, result.stderr.decode()
    assert re.search(rb"\| valid +\| data\.valid +\|", result.stdout)
    assert f"they are in {tmp_path}/out".encode() in result.stderr
    assert (tmp_path / "out" / "valid.source").exists()
    assert (tmp_path / "out" / "data_report.md").exists()
