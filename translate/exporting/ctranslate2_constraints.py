"""Constraints of translations in CTranslate2, as far as its runtime has them: banned texts and prefixes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from translate.decoding.config import Sentence
from translate.decoding.constraints.constraints import ConstrainedSentence, Lexicon
from translate.decoding.constraints.vocabulary import is_in_word
from translate.errors import UserError


@dataclass(frozen=True)
class RuntimeConstraints:
    """Constraints as pieces.

    banned    sequences that no translation contains: each banned text in its usual segmentations. Others of a text are
              not found, unlike with engine=native
    prefixes  pieces that the translation of each sentence begins with; [] if there are none at all
    """

    banned: list[list[str]]
    prefixes: list[list[str]]

    @classmethod
    def of(cls, sentences: Sequence[Sentence], pieces: Sequence[str]) -> RuntimeConstraints:
        """The constraints of sentences; pieces: of all target tokens. Raises UserError for terms."""
        # a sentence of a search without any constraints is a plain tuple
        found = [each.constraints if isinstance(each, ConstrainedSentence) else None for each in sentences]
        if any(constraints.terms for constraints in found if constraints):
            raise UserError(
                "constraints.terminology and constraints.numbers: CTranslate2 cannot require texts; use engine=native"
            )
        prefixes = [[pieces[token] for token in (each.prefix if each else ())] for each in found]
        # banned texts are the same for all sentences, and so is the lexicon
        lexicon = next((constraints.lexicon for constraints in found if constraints), None)
        banned = _segmentations(lexicon) if lexicon else []
        return cls([[pieces[token] for token in tokens] for tokens in banned], prefixes if any(prefixes) else [])

    @property
    def are_given(self) -> bool:
        return bool(self.banned or self.prefixes)

    def options(self, indices: Sequence[int], options: Mapping[str, Any]) -> dict[str, Any]:
        """Options of translate_batch for these sentences, with those for their constraints."""
        changed = dict(options)
        if self.banned:
            changed["suppress_sequences"] = [*options.get("suppress_sequences", []), *self.banned]
        if self.prefixes:
            changed["target_prefix"] = [self.prefixes[index] for index in indices]
        return changed


def _segmentations(lexicon: Lexicon) -> Iterator[list[int]]:
    """Tokens of each banned text after a space, and without one where it may follow a word, as a full stop does."""
    for text in lexicon.banned.spellings():
        tokens = lexicon.vocabulary.encode(text)
        yield tokens
        if not is_in_word(text[0]) and (joined := lexicon.vocabulary.without_space(tokens)) != tokens:
            yield joined
