"""A small tokenizer, and what its translations contain, found by a regular expression."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from translate.decoding.constraints.constraints import ConstrainedSentence, Constraints, Lexicon, Term
from translate.decoding.constraints.vocabulary import Patterns, Vocabulary
from translate.tokenizer import Tokenizer
from translate.tokenizer_training import TokenizerConfig, train_tokenizer

WORDS = "haus hausboot boot garten gartenzaun zaun hund hunde baum am um rot"


@cache
def word_tokenizer() -> Tokenizer:
    """Pieces of letters, syllables and some whole words, and bytes."""
    lines = [f"{WORDS}, ({word}) {word}." for word in WORDS.split()] * 5
    return train_tokenizer(TokenizerConfig(vocab_size=310, character_coverage=1.0), lines, lines)


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary(word_tokenizer())


def constraints(
    terms: Sequence[Term] = (), *, banned: Sequence[str] = (), prefix: str = "", spaced: bool = True
) -> Constraints:
    lexicon = Lexicon(vocabulary(), Patterns(banned, vocabulary(), fold=True), spaced)
    return Constraints(lexicon, tuple(terms), tuple(word_tokenizer().encode_target([prefix])[0]) if prefix else ())


def constrained(sources: Sequence[tuple[int, ...]], own: Constraints | None) -> list[ConstrainedSentence]:
    return [ConstrainedSentence(source, own) for source in sources]


def text_of(tokens: Sequence[int]) -> str:
    return word_tokenizer().decode_target([tokens])[0]


def count_words(spellings: Sequence[str], text: str, *, any_case: bool = False) -> int:
    """Occurrences of texts as whole words."""
    flags = re.IGNORECASE if any_case else 0
    return sum(len(re.findall(rf"(?<!\w)(?={re.escape(each)}(?!\w))", text, flags)) for each in spellings)
