"""Lines of more sentences than the model was trained on: cut into runs of as many, and nothing of them lost."""

from __future__ import annotations

import json
import random
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from fake_models import CharacterTokenizer, EchoEngine
from in_process import call_here
from small_runs import options
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.data.prepare import prepare
from translate.data.usual_lines import reached_by
from translate.decode import DecodeConfig, translate_files
from translate.decoding.config import EngineName, Precision, SearchConfig, Split
from translate.decoding.segmentation import Splitting, split_line
from translate.decoding.translation import Splits
from translate.decoding.translator import Translator
from translate.engines import load_translator
from translate.evaluate import EvaluateConfig, evaluate
from translate.explain import ExplainConfig, explain_files
from translate.files import to_plain
from translate.tags import Tagging
from translate.text import read_lines, write_lines
from translate.tokenizer_training import TokenizerConfig
from translate.training.changes import find_changes
from translate.training.config import TrainConfig

SINGLE = {"sentences_per_line": 1, "trained_tokens": 12, "source_language": "en"}


def translator_of(manifest, *, split: Split = Split.auto, **settings) -> tuple[Translator, EchoEngine]:
    engine = EchoEngine()
    splitting = Splitting.of_model(manifest, split)
    return Translator(engine, CharacterTokenizer(), SearchConfig(), splitting=splitting, **settings), engine


def given(line: str, manifest, **settings) -> list[str]:
    """The texts that reach the engine of one line's translation; the translation must be the line."""
    translator, engine = translator_of(manifest, **settings)
    [translation] = translator.translate([line])
    assert translation.text == line
    texts = translator.tokenizer.decode_target(engine.given)
    assert translation.segments == len(texts)
    return texts


FIVE = "Tom is here. He is ill! Is he? No. They go home."


def test_model_trained_on_single_sentences_gets_one_sentence_per_segment():
    assert given(FIVE, SINGLE) == ["Tom is here.", "He is ill!", "Is he?", "No.", "They go home."]


def test_segments_are_even_and_no_longer_than_training_lines():
    assert given(FIVE, {**SINGLE, "sentences_per_line": 2, "trained_tokens": 60}) == [
        "Tom is here.",
        "He is ill! Is he?",
        "No. They go home.",
    ]
    assert given(FIVE, {**SINGLE, "sentences_per_line": 4, "trained_tokens": 60}) == [
        "Tom is here. He is ill!",
        "Is he? No. They go home.",
    ]
    assert given(FIVE, {**SINGLE, "sentences_per_line": 4, "trained_tokens": 14}) == [
        *("Tom is here.", "He is ill!", "Is he? No.", "They go home."),
    ]


def test_lines_with_few_sentences_are_not_split():
    assert given(FIVE, {**SINGLE, "sentences_per_line": 5}) == [FIVE]
    long = "This is one sentence of far more tokens than any training line had."
    assert given(long, SINGLE) == [long]
    assert given(f"{long} Yes.", SINGLE) == [long, "Yes."]


def test_unknown_sentence_counts_and_split_never_cut_only_lines_beyond_the_maximum_length():
    assert given(FIVE, {}) == given(FIVE, SINGLE, split=Split.never) == [FIVE]
    assert given(FIVE, {**SINGLE, "split": "never"}) == [FIVE]
    assert given(FIVE, {}, max_source_length=20) == [*given(FIVE, SINGLE)]
    assert given(FIVE, {**SINGLE, "sentences_per_line": 3, "trained_tokens": 90, "split": "never"},
                 max_source_length=30) == ["Tom is here. He is ill!", "Is he? No. They go home."]  # fmt: skip


def test_split_sentences_cuts_at_every_sentence_end():
    assert given(FIVE, {**SINGLE, "split": "never"}, split=Split.sentences) == given(FIVE, SINGLE)
    assert given(FIVE, {}, split=Split.sentences) == given(FIVE, SINGLE)


def test_tag_of_a_line_is_repeated_before_each_segment():
    translator, engine = translator_of(SINGLE, tagging=Tagging(known=("<2de>", "<2zh>")))
    translator.translate(["<2de> Tom is here. He is ill!", "<other> Tom is here. He is ill!"])
    assert translator.tokenizer.decode_target(engine.given) == [
        *("<2de> Tom is here.", "<2de> He is ill!"),
        *("<other> Tom is here.", "He is ill!"),
    ]


def test_blank_text_between_sentences_never_reaches_the_engine():
    lines = ["", "   ", "One here.   \u3000 ... Two here.\x00\x00", " . . . "]
    translator, engine = translator_of(SINGLE)
    assert [translation.segments for translation in translator.translate(lines)] == [0, 0, 2, 1]
    assert translator.tokenizer.decode_target(engine.given) == ["One here.     ...", "Two here.", ". . ."]


def test_the_score_of_a_split_line_is_the_mean_weighted_by_tokens():
    translator, _ = translator_of(SINGLE)
    [translation] = translator.translate(["One. Three."])
    assert translation.score == pytest.approx((-0.5 * 4 * 5 - 0.5 * 6 * 7) / (5 + 7))
    assert (translation.n_best, translation.target_tokens) == ([("One. Three.", translation.score)], 10)


def test_segments_cover_the_line_with_the_fewest_and_most_even_pieces():
    generator = random.Random(11)
    tokenizer = CharacterTokenizer()
    for _ in range(200):
        count, most, tokens = generator.randrange(1, 9), generator.randrange(1, 5), generator.randrange(8, 60)
        sentences = ["Z" + "z" * generator.randrange(2, 20) + generator.choice(".!?") for _ in range(count)]
        line = " ".join(sentences)
        [ids] = tokenizer.encode_source([line])
        splitting = Splitting(sentences=most, tokens=tokens)
        segments = split_line(line, ids, encode=tokenizer.encode_source, max_tokens=500, splitting=splitting)
        texts = tokenizer.decode_target([segment.tokens for segment in segments])
        assert " ".join(texts) == line
        if count <= most:
            assert texts == [line]
        else:
            assert cost_of([len(text.split()) for text in texts], sentences) == best_cost(sentences, most, tokens)


def cost_of(sizes: list[int], sentences: list[str]) -> tuple[int, int]:
    """Runs, and the sum of their squared lengths, counted as the runs' own sentences with a space after each."""
    bounds = np.cumsum([0, *sizes]).tolist()
    return len(sizes), sum(length(sentences[start:end]) ** 2 for start, end in pairwise(bounds))


def best_cost(sentences: list[str], most: int, tokens: int) -> tuple[int, int]:
    """By trying all ways to cut."""
    costs = []
    for cuts in range(len(sentences)):
        for inner in combinations(range(1, len(sentences)), cuts):
            runs = [sentences[start:end] for start, end in pairwise([0, *inner, len(sentences)])]
            if all(len(run) == 1 or (len(run) <= most and length(run) <= tokens) for run in runs):
                costs.append((len(runs), sum(length(run) ** 2 for run in runs)))
    return min(costs)


def length(run: list[str]) -> int:
    return sum(map(len, run))


def test_number_of_split_lines_is_logged():
    translator, _ = translator_of(SINGLE)
    translations = translator.translate([FIVE, "One.", "", "One here. Two here."])
    assert translator.splits == Splits.of(translations) == Splits(lines=4, split=2, parts=7)
    assert translator.describe(translator.splits) == (
        "2 of 4 lines had more than 1 sentence or more than 200 tokens: translated in 7 parts"
    )
    assert translator.describe(Splits(4, 0, 0)) == ""
    before, _ = translator_of({})
    assert before.describe(Splits(4, 2, 7)) == "2 of 4 lines had more than 200 tokens: translated in 7 parts"


def test_usual_value_is_reached_by_two_percent():
    generator = np.random.default_rng(3)
    for _ in range(100):
        values, weights = generator.integers(1, 9, 60), generator.integers(1, 4, 60).astype(float)
        expected = max(v for v in values if weights[values >= v].sum() >= 0.1 * weights.sum())
        assert reached_by(values, weights, 0.1) == expected
    assert reached_by(np.array([1] * 98 + [2, 3]), np.ones(100), 0.02) == 2
    assert reached_by(np.array([1] * 99 + [5]), np.ones(100), 0.02) == 1


NUMBERS = [f"{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}{'uvwxyz'[n // 100]}" for n in range(600)]


def data_of(folder: Path, **changes) -> DataConfig:
    single = [f"It is {word}." for word in NUMBERS]
    double = [f"He is {word}. So is she." for word in NUMBERS[:10]]
    for name, lines in (("single", single), ("double", double)):
        write_lines(folder / f"{name}.xx", lines)
        write_lines(folder / f"{name}.yy", [line.upper() for line in lines])
    corpora = {
        name: CorpusConfig(source=f"{folder}/{name}.xx", target=f"{folder}/{name}.yy") for name in ("single", "double")
    }
    corpora["double"].weight = changes.pop("weight", 1.0)
    return DataConfig(
        source_language="en",
        cache=f"{folder}/cache",
        train=corpora["single"],
        additional=[corpora["double"]],
        valid=CorpusConfig(source=f"{folder}/single.xx", target=f"{folder}/single.yy", take=10),
    )


def test_sentence_counts_are_weighted_by_repetition(tmp_path):
    prepared = prepare(data_of(tmp_path), TokenizerConfig(vocab_size=60, byte_fallback=False))
    assert prepared.sentences_per_line == 1
    lengths = sorted(prepared.train.source_lengths.tolist())
    assert prepared.trained_tokens == lengths[-13]  # 2 % of 610 lines
    counted = sorted((tmp_path / "cache").glob("sentences-*/counts.npy"))
    modified = [path.stat().st_mtime_ns for path in counted]
    again = prepare(data_of(tmp_path), TokenizerConfig(vocab_size=60, byte_fallback=False))
    assert (again.sentences_per_line, again.trained_tokens) == (1, prepared.trained_tokens)
    assert sorted((tmp_path / "cache").glob("sentences-*/counts.npy")) == counted
    assert [path.stat().st_mtime_ns for path in counted] == modified
    heavier = prepare(data_of(tmp_path, weight=2), TokenizerConfig(vocab_size=60, byte_fallback=False))
    assert heavier.sentences_per_line == 2
    assert heavier.trained_tokens == max(heavier.train.source_lengths)


def reversed_numbers(generator: random.Random, *, sentences: int) -> tuple[str, str]:
    """A line of sentences of digits, and the line with the digits of each sentence backwards."""
    digits = [generator.choices("0123456789", k=generator.randrange(2, 5)) for _ in range(sentences)]
    sides = ([" ".join(sentence) for sentence in digits], [" ".join(reversed(sentence)) for sentence in digits])
    return " . ".join(sides[0]) + " .", " . ".join(sides[1]) + " ."


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, str]:
    """A run on single sentences, tested on lines of five; and what it said."""
    folder = tmp_path_factory.mktemp("single")
    generator = random.Random(1)
    for name, count, sentences in (("train", 1500, 1), ("valid", 30, 1), ("test", 20, 5)):
        pairs = [reversed_numbers(generator, sentences=sentences) for _ in range(count)]
        write_lines(folder / f"{name}.src", [source for source, _ in pairs])
        write_lines(folder / f"{name}.tgt", [target for _, target in pairs])
    settings = {
        "tokenizer__vocab_size": 17,
        "run__max_steps": 300,
        "validation__every": 300,
        "run__save_every": 300,
        "averaging__last": 0,
    }
    result = call_here("train", *options(folder, folder / "run", **settings))
    assert result.returncode == 0, result.stderr.decode()
    return folder, result.stderr.decode()


def test_run_on_single_sentences_logs_it_and_splits_its_test_set(run):
    folder, said = run
    for directory in ("", "best", "last"):
        manifest = json.loads((folder / "run" / directory / "manifest.json").read_text(encoding="utf-8"))
        assert (manifest["sentences_per_line"], manifest["split"]) == (1, "auto")
        assert 4 <= manifest["trained_tokens"] <= 9
    assert "20 of 20 lines had more than 1 sentence" in said
    assert "translated in 100 parts" in said
    hypotheses = list(read_lines(folder / "run" / "evaluation" / "hypotheses.txt"))
    assert [line.count(".") for line in hypotheses] == [5] * 20


@pytest.mark.parametrize("engine", ["native", "ctranslate2"])
def test_five_sentences_a_line_are_translated_as_five_lines(run, engine, tmp_path, capsys):
    pytest.importorskip("ctranslate2" if engine == "ctranslate2" else "torch")
    folder, _ = run
    lines = list(read_lines(folder / "test.src"))
    single = [f"{sentence} ." for line in lines for sentence in line.removesuffix(" .").split(" . ")]
    assert len(single) == 100

    def decode(lines: list[str], split: Split = Split.auto) -> tuple[list[str], str]:
        write_lines(tmp_path / "in", lines)
        config = DecodeConfig(
            model=str(folder / "run"),
            engine=EngineName(engine),
            input=str(tmp_path / "in"),
            output=str(tmp_path / "out"),
            precision=Precision.fp32,
            split=split,
            workers=1,
            progress=False,
        )
        translate_files(load_translator(config.model, config), config)
        return list(read_lines(tmp_path / "out")), capsys.readouterr().err

    whole, said = decode(lines)
    apart, said_apart = decode(single)
    assert whole == [" ".join(apart[start : start + 5]) for start in range(0, 100, 5)]
    assert said.startswith("20 of 20 lines had more than 1 sentence or more than")
    assert said.endswith("translated in 100 parts\n")
    assert said_apart == ""
    words = sum(len(line.split()) for line in read_lines(folder / "test.tgt"))
    assert sum(len(line.split()) for line in whole) > 0.9 * words
    unsplit, said = decode(lines, Split.never)
    assert sum(len(line.split()) for line in unsplit) < 0.6 * words
    assert said == ""


def test_evaluate_and_explain_split_lines_like_decode(run, tmp_path, capsys):
    folder, _ = run
    model, source, target = (str(folder / name) for name in ("run", "test.src", "test.tgt"))
    evaluate(
        EvaluateConfig(
            model=model, source=source, reference=target, output=str(tmp_path), workers=1, bootstrap=0, progress=False
        )
    )
    assert "20 of 20 lines had more than 1 sentence" in capsys.readouterr().out
    config = ExplainConfig(model=model, input=source, output=str(tmp_path / "pages"), lines=2)
    explanations = explain_files(load_translator(model, config), config)
    assert [each.source_text.count(".") for each in explanations] == [1] * 10


def test_back_translation_splits_monolingual_lines(run, tmp_path):
    folder, _ = run
    settings = {
        "experiment": "back_translation",
        "back_translation__monolingual": folder / "test.tgt",
        "tokenizer__vocab_size": 17,
        "run__max_steps": 10,
    }
    result = call_here("train", *options(folder, tmp_path / "run", **settings))
    assert result.returncode == 0, result.stderr.decode()
    said = result.stderr.decode()
    assert said.index("20 of 20 lines had more") < said.index("20 of 20 back-translations become training pairs")
    # the synthetic lines are training text of five sentences now
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["sentences_per_line"] == 1  # 20 of 1,520 lines are below 2 %


def test_run_of_a_version_without_splitting_continues_without(tmp_path):
    before = to_plain(TrainConfig())
    del before["split"]
    assert not find_changes(TrainConfig(), before, folder=tmp_path)
    assert [change.key for change in find_changes(TrainConfig(split=Split.never), before, folder=tmp_path).changes] == [
        "split"
    ]
    assert not Splitting.of_model({"data": "hash", "source_language": "en", "split": "auto"}).by_sentences
