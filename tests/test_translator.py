"""The line contract: n lines in, n translations out, whatever the lines hold and however they are batched."""

from __future__ import annotations

import math
import random

import pytest

from fake_models import FakeModel, random_model
from fake_translators import HOSTILE, copier, translator_of
from translate.decoding.config import DecodingConfig, SearchConfig
from translate.errors import UserError
from translate.tokenizer import EOS


def test_translations_are_in_line_order():
    lines = ["ccc", "a", "", "bb", "a"]
    assert [t.text for t in copier().translate(lines)] == lines


def test_no_lines_have_no_translations():
    assert copier().translate([]) == []


def test_hostile_lines_give_one_line_each():
    texts = [t.text for t in copier().translate(HOSTILE)]
    assert len(texts) == len(HOSTILE)
    assert texts[:12] == [
        "",
        "",
        "one",
        "a b",
        "a b",
        "a b",
        "bom",
        "nul byte",
        "",
        "🙂 emoji",
        "",
        "x" * 700,
    ]


def test_batch_size_never_changes_a_translation():
    generator = random.Random(3)
    lines = ["".join(generator.choices("abcdef ", k=generator.randrange(12))) for _ in range(60)]
    results = []
    for options in (
        {"batch_sentences": 1},
        {"batch_sentences": 7},
        {"batch_sentences": 64},
        {"batch_tokens": 20},
    ):
        model = random_model(vocabulary_size=12, end=1.0)
        search = SearchConfig(beam_size=3, n_best=3, max_length=6)
        results.append(translator_of(model, search=search, **options).translate(lines))
        largest = max(len(batch) for batch in model.batches)
        assert largest == options.get("batch_sentences", largest) or len(lines) < options["batch_sentences"] + 10
    assert all(result == results[0] for result in results)


def test_batches_fit_the_configured_number_of_tokens():
    translator = copier(batch_tokens=40)
    translator.translate(["x" * length for length in range(1, 39, 3)])
    for batch in translator.engine.model.batches:
        assert len(batch) * max(map(len, batch)) <= 40


def test_blank_lines_are_not_translated_and_equal_lines_once():
    translator = copier()
    blank, *_, last = translator.translate(["", "   ", "same", "\x00", "same"])
    assert translator.engine.model.batches == [[(*translator.tokenizer.encode_source(["same"])[0], EOS)]]
    assert (blank.segments, blank.n_best, last.segments) == (0, [("", 0.0)], 1)


def test_long_line_without_spaces_is_translated_whole():
    line = ("abcdefgh" * 8125)[:65_000]
    [translation] = copier().translate([line])
    assert translation.text == line
    assert translation.segments == 657


def test_training_mode_is_restored():
    translator = copier()
    translator.engine.model.train()
    translator.translate(["a"])
    assert translator.engine.model.training


def test_progress_ends_at_the_total():
    shares: list[float] = []
    copier(batch_sentences=1).translate(["a", "b", "c", "a"], progress=shares.append)
    assert shares == [1 / 3, 2 / 3, 1.0]


@pytest.mark.parametrize("name", ["batch_tokens", "batch_sentences", "max_source_length", "threads", "workers"])
def test_negative_sizes_raise_user_errors(name):
    with pytest.raises(UserError, match=rf"^{name} \(-1\) must be at least 0"):
        DecodingConfig(**{name: -1}).check()


def test_a_search_that_the_model_is_too_small_for_raises_a_user_error():
    SearchConfig(min_length=100, beam_size=50).check_model(50, 100)
    with pytest.raises(UserError, match=r"search\.min_length \(101\): the model writes at most 100 tokens"):
        SearchConfig(min_length=101).check_model(50, 100)
    with pytest.raises(UserError, match=r"search\.beam_size \(51\) must be at most the size of the vocabulary \(50\)"):
        SearchConfig(beam_size=51).check_model(50, 100)


def test_every_line_has_n_best_translations_though_the_search_finds_fewer():
    """Of two words without a repetition there are five sequences; a line in segments joins what these have."""
    model = random_model(vocabulary_size=6, end=-1.0)
    search = SearchConfig(beam_size=8, n_best=8, max_length=4, no_repeat_ngram=1)
    lines = ["a", "", "ab", " ", "a" * 250]
    found = translator_of(model, search=search).translate(lines)
    assert [len(translation.n_best) for translation in found] == [8] * 5
    sequences, rest = found[0].n_best[:5], found[0].n_best[5:]
    assert len({text for text, _ in sequences}) == 5
    assert [score for _, score in sequences] == sorted((score for _, score in sequences), reverse=True)
    assert rest == [("", -math.inf)] * 3
    assert found[1].n_best == [("", 0.0)] * 8
    assert found[4].segments == 3
    assert found[4].n_best[5:] == rest


def test_kth_best_of_a_line_joins_kth_best_segments():
    """A sentence of b's has two translations, b and c, one of c's a third one, bc."""
    b, c = 4, 5

    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        logits = (
            {b: 0.2, c: 0.1} if not history else {EOS: 0.3, c: 0.0} if history == (b,) and c in source else {EOS: 0}
        )
        return [logits.get(token, -math.inf) for token in range(6)]

    search = SearchConfig(beam_size=4, n_best=4, length_penalty=0.0)
    translator = translator_of(FakeModel(next_logits, max_length=6), search=search)
    translator.tokenizer.encode_source(["bc"])
    found = translator.translate(["bbbb", "cccc", "bbbb. cccc"])
    assert [text for text, _ in found[0].n_best] == ["b", "c", "", ""]
    assert [text for text, _ in found[1].n_best] == ["c", "b", "bc", ""]
    assert found[2].segments == 2
    assert [text for text, _ in found[2].n_best] == ["b c", "c b", "c bc", ""]
    assert [score == -math.inf for _, score in found[2].n_best] == [False, False, False, True]
