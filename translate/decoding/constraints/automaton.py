"""A translation's constraints as an automaton that reads its tokens, one state for each hypothesis of a search."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from translate.decoding.constraints.constraints import Constraints
from translate.decoding.constraints.vocabulary import Patterns, is_in_word
from translate.tokenizer import EOS


class _Position(NamedTuple):
    """All that decides how a hypothesis may continue.

    counts   occurrences of each term that are certain
    nodes    of the trie of terms, and banned of that of banned texts, which the last characters have reached
    before   the last character; "" at the start
    partial  bytes of a character that is not complete
    written  number of tokens, up to one more than the prefix has
    """

    counts: tuple[int, ...]
    nodes: tuple[int, ...] = ()
    banned: tuple[int, ...] = ()
    before: str = ""
    partial: bytes = b""
    written: int = 0


@dataclass(frozen=True)
class Continuations:
    """Tokens that may, may not or should follow a state.

    only       the next token of the prefix; None after it
    forbidden  tokens that would end a banned text, or a term once too often; EOS where a term is missing
    wanted     next tokens of missing terms: of one in progress, and first ones
    hurried    those to choose from where no more than `reserved` tokens may follow; EOS if no term is missing
    progress   number of tokens of the terms that are there
    reserved   number of tokens that the terms take which are not there for certain: the next token may undo others
    """

    only: int | None
    forbidden: tuple[int, ...]
    wanted: tuple[int, ...]
    hurried: tuple[int, ...]
    progress: int
    reserved: int


@dataclass
class _Spelling:
    """A spelling of a term as tokens.

    first     its first token, with a space before it (True) or none (False)
    after     next token and number of tokens so far, by the number of characters and the bytes that are written
    """

    term: int
    text: str
    first: dict[bool, int] = field(default_factory=dict)
    after: dict[tuple[int, bytes], tuple[int, int]] = field(default_factory=dict)
    size: int = 0


class Automaton:
    """The states of a translation under constraints: numbers from 0, the empty translation.

    States are made as hypotheses reach them, since all that are possible would be far too many; hypotheses that may
    continue in the same ways share one, with its computed continuations.
    """

    def __init__(self, constraints: Constraints) -> None:
        self._lexicon, self._prefix = constraints.lexicon, constraints.prefix
        vocabulary = self._lexicon.vocabulary
        spellings = [(number, text) for number, term in enumerate(constraints.terms) for text in term.spellings]
        self._spellings = [self._spelling(number, text) for number, text in spellings]
        self._terms = constraints.terms
        self._patterns = Patterns([text for _, text in spellings], vocabulary)
        of_term: list[list[_Spelling]] = [[] for _ in self._terms]
        for spelling in self._spellings:
            of_term[spelling.term].append(spelling)
        # the spelling to propose, by whether it is at the start of a translation
        self._preferred = [
            {is_first: _preferred(own, is_first=is_first) for is_first in (False, True)} for own in of_term
        ]
        self._sizes = [max(spelling.size for spelling in own) for own in of_term]
        self._positions = [_Position((0,) * len(self._terms))]
        self._numbers = {self._positions[0]: 0}
        self._next: dict[tuple[int, int], int] = {}
        self._continuations: dict[int, Continuations] = {}

    @property
    def has_terms(self) -> bool:
        """True if some term must appear."""
        return any(term.least for term in self._terms)

    @property
    def size(self) -> int:
        """Number of tokens that the prefix and the terms take."""
        terms = zip(self._terms, self._sizes, strict=True)
        return len(self._prefix) + sum(term.least * size for term, size in terms)

    def step(self, state: int, token: int) -> int:
        """The state after one more token."""
        if (state, token) not in self._next:
            position = self._read(self._positions[state], token)
            number = self._numbers.setdefault(position, len(self._positions))
            if number == len(self._positions):
                self._positions.append(position)
            self._next[state, token] = number
        return self._next[state, token]

    def may_end(self, tokens: Sequence[int]) -> bool:
        """True if a translation of these tokens has all terms."""
        state = 0
        for token in tokens:
            state = self.step(state, token)
        return EOS not in self.continuations(state).forbidden

    def continuations(self, state: int) -> Continuations:
        if state not in self._continuations:
            self._continuations[state] = self._continue(self._positions[state])
        return self._continuations[state]

    def _read(self, position: _Position, token: int) -> _Position:
        vocabulary = self._lexicon.vocabulary
        # capped: after the prefix, states must not differ by their length alone
        position = position._replace(written=min(position.written + 1, len(self._prefix) + 1))
        if token in vocabulary.bytes:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            text = decoder.decode(position.partial + bytes([vocabulary.bytes[token]]))
            partial, _ = decoder.getstate()
        else:
            text, partial = position.partial.decode("utf-8", "replace") + vocabulary.texts[token], b""
        for character in text:
            position = self._read_character(position, character)
        return position._replace(partial=partial)

    def _read_character(self, position: _Position, character: str) -> _Position:
        nodes, found = self._patterns.advance(position.nodes, position.before, character)
        banned, _ = self._lexicon.banned.advance(position.banned, position.before, character)
        counts = list(position.counts)
        for term in {self._spellings[number].term for number in found}:
            counts[term] += 1
        return position._replace(counts=tuple(counts), nodes=nodes, banned=banned, before=character)

    def _continue(self, position: _Position) -> Continuations:
        counts = self._counts(position)
        only = self._prefix[position.written] if position.written < len(self._prefix) else None
        missing = [max(0, term.least - count) for term, count in zip(self._terms, counts, strict=True)]
        in_progress = self._in_progress(position, missing)
        starts = self._starts(position, missing)
        forbidden = self._forbidden(position, counts)
        if any(missing):
            forbidden.add(EOS)
        wanted = dict.fromkeys([*in_progress, *starts])
        done = sum(
            min(count, term.least) * size for term, count, size in zip(self._terms, counts, self._sizes, strict=True)
        )
        begun = max(in_progress.values(), default=0)
        return Continuations(
            only=only,
            # where a term contains a banned text, the term is what the user wants at this point
            forbidden=tuple(sorted(forbidden - set(wanted))),
            wanted=tuple(wanted),
            hurried=tuple(token for token, number in in_progress.items() if number == begun) or tuple(starts) or (EOS,),
            progress=done + begun,
            reserved=sum(
                max(0, term.least - count) * size
                for term, count, size in zip(self._terms, position.counts, self._sizes, strict=True)
            ),
        )

    def _counts(self, position: _Position) -> list[int]:
        """Occurrences of each term if no letter follows."""
        counts = list(position.counts)
        ending = self._patterns.ending(position.nodes)
        # one that ends in another character has been counted
        for term in {self._spellings[n].term for n in ending if is_in_word(self._spellings[n].text[-1])}:
            counts[term] += 1
        return counts

    def _in_progress(self, position: _Position, missing: list[int]) -> dict[int, int]:
        """Next tokens of missing terms in progress, and the number of their tokens so far; the most advanced first."""
        found: dict[int, int] = {}
        begun = [begun for node in position.nodes for begun in self._patterns.through[node]]
        # a space, or the first bytes of a character, have no node yet
        if position.partial or position.before == " ":
            begun += [(number, 0) for number in range(len(self._spellings))]
        for number, offset in begun:
            # only along the tokens of the usual segmentation: other ways to write the same characters still count as
            # the term when it is complete, but are not proposed
            spelling = self._spellings[number]
            after = spelling.after.get((offset, position.partial))
            if after is not None and missing[spelling.term]:
                found[after[0]] = max(found.get(after[0], 0), after[1])
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def _starts(self, position: _Position, missing: list[int]) -> list[int]:
        """First tokens of missing terms, as their preferred spelling has it."""
        starts = []
        for number in range(len(self._terms)):
            if missing[number]:
                spelling = self._preferred[number][not position.before]
                joins = bool(position.before) and is_in_word(position.before) and is_in_word(spelling.text[0])
                needs_space = position.before != " " and (self._lexicon.spaced or joins)
                starts.append(spelling.first[needs_space])
        return starts

    def _forbidden(self, position: _Position, counts: list[int]) -> set[int]:
        found = self._lexicon.banned.completions(position.banned, position.before, position.partial)
        exhausted = {number for number, term in enumerate(self._terms) if counts[number] >= term.most}
        if exhausted:
            among = frozenset(n for n, spelling in enumerate(self._spellings) if spelling.term in exhausted)
            found |= self._patterns.completions(position.nodes, position.before, position.partial, among=among)
        # the last word of the prefix is whole
        if self._prefix and position.written == len(self._prefix) and position.before and is_in_word(position.before):
            found |= self._lexicon.vocabulary.continuations
        return found

    def _spelling(self, term: int, text: str) -> _Spelling:
        """Segment a spelling, as it is written after a space and without one."""
        vocabulary = self._lexicon.vocabulary
        spelling = _Spelling(term, text)
        spaced = vocabulary.encode(text)
        plain = vocabulary.without_space(spaced)
        usual = spaced if self._lexicon.spaced else plain
        spelling.size = max(len(spaced), len(plain))
        # the usual segmentation last: it decides where both have written as many characters
        for tokens in (plain if usual is spaced else spaced, usual):
            spelling.first[tokens is spaced] = tokens[0]
            written, partial = "", b""
            for count, token in enumerate(tokens[:-1], start=1):
                partial += bytes([vocabulary.bytes[token]]) if token in vocabulary.bytes else b""
                try:
                    character = partial.decode()
                    written, partial = written + vocabulary.texts[token] + character, b""
                except UnicodeDecodeError:
                    pass  # a character that the next bytes complete
                spelling.after[len(written.removeprefix(" ")), partial] = tokens[count], count
        return spelling


def _preferred(own: Sequence[_Spelling], *, is_first: bool) -> _Spelling:
    """The spelling of a term to propose: at the start of a translation with a capital, if there is such a spelling."""
    capitalised = own[0].text[:1].upper() + own[0].text[1:]
    return next((each for each in own if is_first and each.text == capitalised), own[0])
