"""Banned texts and prefixes with CTranslate2; what it lacks is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from constrained_text import constraints
from ctranslate2_models import engine_of, save, score, searchable_model, small_tokenizer, some_sentences
from translate.decoding.config import SearchConfig
from translate.decoding.constraints.constraints import ConstrainedSentence, Constraints, Lexicon, Term
from translate.decoding.constraints.vocabulary import Patterns, Vocabulary
from translate.errors import UserError
from translate.exporting.ctranslate2_constraints import RuntimeConstraints

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")


def test_banned_texts_and_prefixes_hold_and_scores_are_the_models_own(tmp_path: Path):
    tokenizer = small_tokenizer(joint=True)
    model, config = searchable_model(tokenizer, end=1.0)
    engine = engine_of(save(model, config, tokenizer, tmp_path / "model"))
    sources, vocabulary = some_sentences(tokenizer), Vocabulary(tokenizer)
    plain = engine.search(sources, SearchConfig())
    # the pieces that the model likes most, as texts
    banned = sorted({vocabulary.texts[token].strip() for [best] in plain for token in best.tokens[:1]} - {""})
    lexicon = Lexicon(vocabulary, Patterns(banned, vocabulary))
    prefix = tuple(tokenizer.encode_target(["ein"])[0])
    prefixes = [prefix if number % 2 else () for number in range(len(sources))]
    own = [Constraints(lexicon, (), each) for each in prefixes]
    sentences = [ConstrainedSentence(*each) for each in zip(sources, own, strict=True)]
    found = engine.search(sentences, SearchConfig())
    sequences = [vocabulary.encode(text) for text in banned]
    for source, begun, [hypothesis] in zip(sources, prefixes, found, strict=True):
        tokens = hypothesis.tokens
        assert tuple(tokens[: len(begun)]) == begun
        starts = range(len(begun), len(tokens))
        assert not any(tokens[start : start + len(each)] == each for each in sequences for start in starts)
        assert hypothesis.score == pytest.approx(score(model, source, tokens, 1.0), abs=1e-4)
    assert [best.tokens for [best] in found] != [best.tokens for [best] in plain]


def test_terms_are_refused(tmp_path: Path):
    tokenizer = small_tokenizer(joint=True)
    model, config = searchable_model(tokenizer)
    engine = engine_of(save(model, config, tokenizer, tmp_path / "model"))
    vocabulary = Vocabulary(tokenizer)
    constraints = Constraints(Lexicon(vocabulary, Patterns([], vocabulary)), (Term(("ein",)),))
    with pytest.raises(UserError, match=r"cannot require texts; use engine=native"):
        engine.search([ConstrainedSentence((5, 6), constraints)], SearchConfig())


def test_marks_are_banned_behind_a_word_too():
    lexicon = constraints(banned=[".", "haus"]).lexicon
    pieces = [text.replace(" ", "▁") for text in lexicon.vocabulary.texts]
    sentence = ConstrainedSentence((5, 6), Constraints(lexicon))
    banned = {"".join(sequence) for sequence in RuntimeConstraints.of([sentence], pieces).banned}
    assert {"▁.", ".", "▁haus"} <= banned
    assert "haus" not in banned
