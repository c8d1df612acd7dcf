"""Searches with constraints: what every translation has and has not, found again in its text."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from constrained_text import constrained, constraints, count_words, text_of, vocabulary, word_tokenizer
from fake_models import FakeModel, random_model
from searches import score, search
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.constraints.automaton import Automaton
from translate.decoding.constraints.constraints import ConstrainedSentence, Term
from translate.decoding.native_engine import search_batch
from translate.errors import UserError
from translate.tokenizer import EOS

SIZE = word_tokenizer().target_vocab_size
SOURCES = [tuple(4 + (i * j) % 20 for j in range(2 + i % 5)) for i in range(12)]
BEAM = SearchConfig(beam_size=4, n_best=4, max_length_ratio=1, max_length_offset=8)


every_method = pytest.mark.parametrize("method", [SearchMethod.beam, SearchMethod.greedy, SearchMethod.sampling])


def writer(text: str, *, vocabulary_size: int = SIZE, seed: int = 0) -> FakeModel:
    """Wants to write a text, whatever the source, and little else."""
    wanted = [*word_tokenizer().encode_target([text])[0], EOS]
    noise = random_model(vocabulary_size=vocabulary_size, seed=seed)

    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        logits = list(noise.next_logits(source, history))
        if list(history) == wanted[: len(history)]:
            logits[wanted[len(history)]] += 12.0
        else:
            logits[EOS] += 4.0
        return logits

    return FakeModel(next_logits)


@pytest.mark.parametrize("seed", range(3))
def test_terms_appear_as_often_as_they_must_and_may(seed):
    terms = [Term(("hund", "hunde")), Term(("haus", "Haus"), least=1, most=2), Term(("am um",))]
    model = random_model(vocabulary_size=SIZE, seed=seed, end=2.0, spread=3.0)
    for hypotheses in search(model, constrained(SOURCES, constraints(terms)), BEAM):
        for hypothesis in hypotheses:
            text = text_of(hypothesis.tokens)
            assert count_words(("hund", "hunde"), text) == 1
            assert 1 <= count_words(("haus", "Haus"), text) <= 2
            assert count_words(("am um",), text) == 1


def test_a_term_that_the_model_writes_by_itself_changes_nothing():
    model = writer("rot am garten um")
    plain = search(model, SOURCES[:1], SearchConfig())
    found = search(model, constrained(SOURCES[:1], constraints([Term(("garten",))])), SearchConfig())
    assert found == plain
    assert text_of(found[0][0].tokens) == "rot am garten um"


def test_a_term_is_not_repeated_in_another_segmentation():
    """The model wants the word a second time; its letters one by one would be other tokens."""
    model = writer("am garten um garten rot")
    [[hypothesis]] = search(model, constrained(SOURCES[:1], constraints([Term(("garten",))])), SearchConfig())
    assert count_words(("garten",), text_of(hypothesis.tokens)) == 1


def test_a_part_of_a_longer_word_is_no_term():
    model = writer("am hausboot um")
    [[hypothesis]] = search(model, constrained(SOURCES[:1], constraints([Term(("haus",))])), SearchConfig(beam_size=8))
    assert count_words(("haus",), text_of(hypothesis.tokens)) == 1


@every_method
def test_banned_texts_never_appear_in_any_case_and_segmentation(method):
    banned = ["garten", "Um", "hund"]
    config = SearchConfig(method=method, max_length_ratio=1, max_length_offset=8)
    for text in ("am garten um", "Um hund", "(um) am", "hunde am gartenzaun"):
        results = search(writer(text), constrained(SOURCES[:4], constraints(banned=banned)), config)
        for hypothesis in itertools.chain(*results):
            assert count_words(banned, text_of(hypothesis.tokens), any_case=True) == 0


@every_method
def test_banned_marks_do_not_appear_behind_a_word_nor_as_bytes(method):
    config = SearchConfig(method=method, max_length_ratio=1, max_length_offset=8)
    for text in ("am garten.", "(um) am, rot", "rot."):
        results = search(writer(text), constrained(SOURCES, constraints(banned=[".", ",", ")"])), config)
        for hypothesis in itertools.chain(*results):
            assert not set(".,)") & set(text_of(hypothesis.tokens))


def test_bytes_end_no_banned_text_in_any_case_and_may_go_on_with_a_word():
    """The vocabulary has neither ü nor Ü, which have their first byte in common."""
    first, small, capital = (next(t for t, value in vocabulary().bytes.items() if value == b) for b in b"\xc3\xbc\x9c")
    patterns = constraints(banned=["zaü", "ü"]).lexicon.banned
    nodes, before = (), ""
    for character in "Za":
        (nodes, _), before = patterns.advance(nodes, before, character), character
    assert {small, capital} <= patterns.completions(nodes, before, b"\xc3")
    assert {small, capital} <= patterns.completions((), " ", b"\xc3")
    assert not {small, capital} & patterns.completions((), "m", b"\xc3")
    assert first not in patterns.completions(nodes, before, b"")


@every_method
def test_a_translation_begins_with_the_whole_words_of_its_prefix(method):
    model = random_model(vocabulary_size=SIZE, end=1.0, spread=2.0)
    config = SearchConfig(method=method, max_length=12)
    own = constraints(prefix="rot am haus")
    for [hypothesis] in search(model, constrained(SOURCES, own), config):
        assert tuple(hypothesis.tokens[: len(own.prefix)]) == own.prefix
        assert count_words(("rot am haus",), text_of(hypothesis.tokens)) == 1
        # the score is the model's own, that of the prefix included
    source = SOURCES[0]
    [[hypothesis]] = search(model, constrained([source], own), config)
    assert hypothesis.score == pytest.approx(score(model, list(source), tuple(hypothesis.tokens), 1.0), abs=1e-5)


@every_method
def test_batches_and_unconstrained_neighbours_change_nothing(method):
    model = random_model(vocabulary_size=SIZE, end=2.0, spread=2.0)
    config = SearchConfig(method=method, max_length_ratio=1, max_length_offset=6)
    terms = [Term(("hund",)), Term(("haus",))] if method is SearchMethod.beam else []
    kinds = [None, constraints(terms, banned=["garten"]), constraints(terms[:1], prefix="am um")]
    sentences = [ConstrainedSentence(source, kinds[i % 3]) for i, source in enumerate(SOURCES)]
    alone = [search(model, [sentence], config)[0] for sentence in sentences]
    assert search_batch(model, sentences, config) == alone
    for batch_sentences in (2, 5):
        assert search(model, sentences, config, batch_sentences=batch_sentences) == alone
    assert search(model, sentences, config, workers=2) == alone
    assert alone[::3] == search(model, SOURCES[::3], config)


def test_wide_beam_finds_the_best_of_all_translations_with_the_term():
    first, second = (word_tokenizer().encode_target([word])[0][0] for word in ("am", "um"))
    words = [first, second]
    allowed = {*words, EOS}

    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        generator = torch.Generator().manual_seed(hash((source, history)) % 2**31)
        logits = torch.full((SIZE,), -40.0)
        logits[sorted(allowed)] = torch.randn(3, generator=generator)
        return logits.tolist()

    model, source = FakeModel(next_logits), (4, 5)
    every = [tokens for length in range(5) for tokens in itertools.product(words, repeat=length)]
    with_term = [tokens for tokens in every if count_words(("um",), text_of(tokens)) == 1]
    best = max(with_term, key=lambda tokens: score(model, list(source), tokens, 1.0))
    config = SearchConfig(beam_size=60, max_length=4)
    [[found]] = search(model, constrained([source], constraints([Term(("um",))])), config)
    assert tuple(found.tokens) == best


def test_terms_that_leave_no_room_come_at_the_end():
    model = random_model(vocabulary_size=SIZE, end=-20.0)
    own = constraints([Term(("gartenzaun",)), Term(("hausboot",)), Term(("baum",))])
    config = SearchConfig(beam_size=2, max_length_ratio=0, max_length_offset=1)
    for [hypothesis] in search(model, constrained(SOURCES, own), config):
        assert all(count_words(term.spellings, text_of(hypothesis.tokens)) == 1 for term in own.terms)


def test_terms_need_beam_search():
    sentences = constrained(SOURCES[:1], constraints([Term(("haus",))]))
    with pytest.raises(UserError, match=r"search.method=greedy: terms need beam search"):
        search(random_model(vocabulary_size=SIZE), sentences, SearchConfig(method=SearchMethod.greedy))
    with pytest.raises(UserError, match=r"search.method=diverse_beam knows no constraints: use beam, greedy, sampling"):
        search(random_model(vocabulary_size=SIZE), sentences, SearchConfig(method=SearchMethod.diverse_beam))


def test_every_sample_has_the_constraints():
    own, config = constraints(banned=["garten"], prefix="rot"), SearchConfig(method=SearchMethod.sampling, samples=4)
    results = search(writer("rot am garten"), constrained(SOURCES[:3], own), config)
    texts = [text_of(hypothesis.tokens) for hypotheses in results for hypothesis in hypotheses]
    assert len(texts) == 12
    assert all(text.startswith("rot") and not count_words(["garten"], text) for text in texts)


@pytest.mark.parametrize("seed", range(4))
def test_an_automaton_counts_what_the_text_has(seed):
    """Random tokens, bytes among them, of which some spell the terms letter by letter."""
    chosen, own = random.Random(seed), constraints([Term(("haus", "boot"), 0, 99), Term(("zaün",), 0, 99)])
    encoded = [word_tokenizer().encode_target([word])[0] for word in ("haus", "boot", "zaün", "hausboot", "(haus)")]
    for _ in range(100):
        tokens = [t for _ in range(6) for t in chosen.choice([*encoded, [chosen.randrange(4, SIZE)]])]
        automaton, state = Automaton(own), 0
        for token in tokens:
            state = automaton.step(state, token)
        text = "".join(vocabulary().texts[token] for token in tokens if token not in vocabulary().bytes)
        if not any(token in vocabulary().bytes for token in tokens):
            expected = count_words(("haus", "boot"), text)
            assert automaton._counts(automaton._positions[state])[0] == expected, text
    spelled = [*word_tokenizer().encode_target(["am zaün"])[0]]
    assert set(spelled) & set(vocabulary().bytes), "the vocabulary has no ü"
    automaton, state = Automaton(own), 0
    for token in spelled:
        state = automaton.step(state, token)
    assert automaton._counts(automaton._positions[state]) == [0, 1]


def test_terms_may_begin_with_bytes():
    """The vocabulary has no Ü: its first byte alone is the beginning of the term."""
    model = random_model(vocabulary_size=SIZE, end=2.0, spread=3.0)
    for hypotheses in search(model, constrained(SOURCES[:4], constraints([Term(("Übung",)), Term(("äh",))])), BEAM):
        for hypothesis in hypotheses:
            assert [count_words((term,), text_of(hypothesis.tokens)) for term in ("Übung", "äh")] == [1, 1]


def test_scripts_without_spaces_have_no_word_boundaries():
    assert Term(("房子",)).least == 1
    automaton, state = Automaton(constraints([Term(("房子",))], spaced=False)), 0
    for token in word_tokenizer().encode_target(["大房子里"])[0]:
        state = automaton.step(state, token)
    assert EOS not in automaton.continuations(state).forbidden
