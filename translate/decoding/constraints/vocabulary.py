"""Target pieces as text, and sets of texts to find in what is written piece by piece.

Texts are found by characters, not by tokens: a word has several segmentations, and each of them is that word.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

from translate.tokenizer import NUM_SPECIAL, UNK, Tokenizer
from translate.unspaced_scripts import EAST_ASIAN_MARKS, HAN_AND_KANA, RARE_HAN, SOUTH_EAST_ASIAN

_UNSPACED = re.compile(f"[{SOUTH_EAST_ASIAN}{EAST_ASIAN_MARKS}{HAN_AND_KANA}{RARE_HAN}]")


@lru_cache(1 << 12)
def is_in_word(character: str) -> bool:
    """True for a character that another one continues a word with: letters and digits of scripts with spaces."""
    if not (character.isalnum() or character == "_" or unicodedata.combining(character)):
        return False
    return not _UNSPACED.match(character)


def find_words(text: str, line: str) -> list[int]:
    """Starts of the occurrences of a text in a line as whole words, which may overlap."""
    starts, start = [], line.find(text)
    while start >= 0:
        end = start + len(text)
        begins = start == 0 or not (is_in_word(line[start - 1]) and is_in_word(text[0]))
        ends = end == len(line) or not (is_in_word(line[end]) and is_in_word(text[-1]))
        if begins and ends:
            starts.append(start)
        start = line.find(text, start + 1)
    return starts


def split_words(text: str) -> Iterator[str]:
    """Words, and other characters one by one, as are those of scripts without spaces between words."""
    start = 0
    for index, character in enumerate(text):
        if not is_in_word(character):
            if start < index:
                yield text[start:index]
            if not character.isspace():
                yield character
            start = index + 1
    if start < len(text):
        yield text[start:]


class Vocabulary:
    """Text of each target piece, with spaces for "▁"; special tokens and bytes have none."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        processor = tokenizer.target_processor
        pieces = tokenizer.target_pieces(range(tokenizer.target_vocab_size))
        self.bytes = {token: int(piece[3:5], 16) for token, piece in enumerate(pieces) if processor.is_byte(token)}
        self.texts = [
            "" if token < NUM_SPECIAL or token in self.bytes or processor.is_control(token) else piece.replace("▁", " ")
            for token, piece in enumerate(pieces)
        ]
        self._byte_tokens = {value: token for token, value in self.bytes.items()}
        self._last_bytes: dict[tuple[bytes, bool], dict[str, list[int]]] = {}

    def encode(self, text: str) -> list[int]:
        """Tokens of a text at the start of a word; none if the vocabulary cannot write it."""
        tokens = self._tokenizer.encode_target([text])[0]
        return [] if UNK in tokens else tokens

    def written(self, text: str) -> str:
        """A text as the model writes it, in the tokenizer's form; "" if it cannot."""
        tokens = self.encode(text)
        return self._tokenizer.decode_target([tokens])[0].strip() if tokens else ""

    def without_space(self, tokens: Sequence[int]) -> list[int]:
        """The tokens of a text without the space in front of it."""
        first = self.texts[tokens[0]] if tokens else ""
        if not first.startswith(" "):
            return list(tokens)
        return [*self._longest_pieces(first[1:]), *tokens[1:]]

    def _longest_pieces(self, text: str) -> list[int]:
        """Segmentation into the longest pieces from left to right, characters without a piece as bytes."""
        tokens = []
        while text:
            length = next((n for n in range(len(text), 0, -1) if text[:n] in self._exact), 0)
            if length:
                tokens.append(self._exact[text[:length]][0])
            else:
                tokens += [self._byte_tokens.get(byte, UNK) for byte in text[0].encode()]
            text = text[max(length, 1) :]
        return tokens

    @cached_property
    def continuations(self) -> frozenset[int]:
        """Tokens that continue a word, or may do so as the first byte of a character."""
        marks = {token for token, value in self.bytes.items() if value < 128 and not is_in_word(chr(value))}
        words = {token for token, text in enumerate(self.texts) if text and is_in_word(text[0])}
        return frozenset(words | (self.bytes.keys() - marks))

    @cached_property
    def _exact(self) -> dict[str, list[int]]:
        return self._tokens_by_text(fold=False)

    @cached_property
    def _folded(self) -> dict[str, list[int]]:
        return self._tokens_by_text(fold=True)

    def _tokens_by_text(self, *, fold: bool) -> dict[str, list[int]]:
        tokens = defaultdict(list)
        for token, text in enumerate(self.texts):
            if text:
                tokens[folded(text) if fold else text].append(token)
        return dict(tokens)

    @cached_property
    def _sorted(self) -> dict[bool, list[str]]:
        return {fold: sorted(table) for fold, table in ((False, self._exact), (True, self._folded))}

    @cached_property
    def _joined(self) -> dict[bool, tuple[str, list[int]]]:
        """All texts as lines of one, and where each begins."""
        starts = [0, *accumulate(len(text) + 1 for text in self.texts)]
        joined = "\n".join(self.texts)
        return {False: (joined, starts), True: (folded(joined), starts)}

    def completing(self, rest: str, *, fold: bool) -> list[int]:
        """Tokens that write the rest of a text, alone or with characters of another word after it."""
        table, ordered = (self._folded if fold else self._exact), self._sorted[fold]
        tokens = list(table.get(rest, []))
        for index in range(bisect_left(ordered, rest), len(ordered)):
            text = ordered[index]
            if not text.startswith(rest):
                break
            if text != rest and not (is_in_word(rest[-1]) and is_in_word(text[len(rest)])):
                tokens += table[text]
        return tokens

    def containing(self, text: str, *, fold: bool) -> list[int]:
        """Tokens that contain a text as a whole word, with other characters before it."""
        joined, starts = self._joined[fold]
        found = ((start, bisect_right(starts, start) - 1) for start in find_words(text, joined))
        return [token for start, token in found if start > starts[token]]

    def last_bytes(self, characters: frozenset[str], partial: bytes, *, fold: bool) -> frozenset[int]:
        """Byte tokens that complete one of the characters after its other bytes."""
        written = self._by_last_byte(partial, fold)
        return frozenset(token for character in written.keys() & characters for token in written[character])

    def _by_last_byte(self, partial: bytes, fold: bool) -> dict[str, list[int]]:
        """Byte tokens that end a character after the first bytes of one, by that character."""
        if (partial, fold) not in self._last_bytes:
            tokens = defaultdict(list)
            for token, value in self.bytes.items():
                text = codecs.getincrementaldecoder("utf-8")("replace").decode(partial + bytes([value]))
                # a byte that does not fit ends the unfinished character, and is one of its own
                tokens[folded(text[-1:]) if fold else text[-1:]].append(token)
            self._last_bytes[partial, fold] = dict(tokens)
        return self._last_bytes[partial, fold]


@lru_cache(maxsize=4)
def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """The vocabulary of a tokenizer, which all constraints on its translations share: it takes megabytes."""
    return Vocabulary(tokenizer)


def folded(text: str) -> str:
    """A text in small letters, with as many characters."""
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)


class _Ends(NamedTuple):
    """Ends of texts: tokens that write one, and those that are a single character, which bytes may write."""

    tokens: frozenset[int]
    characters: frozenset[str]


# further keys beside the nodes of a trie
_BEHIND_WORD, _INSIDE = -1, -2


class Patterns:
    """Texts to find as whole words: a trie of their characters, whose node 0 is the root.

    A text has been found after its last character if no further character of a word follows.

    fold  find them in capital and small letters
    """

    def __init__(self, texts: Iterable[str], vocabulary: Vocabulary, *, fold: bool = False) -> None:
        self.texts = [folded(text) if fold else text for text in texts]
        self._fold = fold
        self._vocabulary = vocabulary
        self._children: list[dict[str, int]] = [{}]
        self.through: list[list[tuple[int, int]]] = [
            []
        ]  # of each node: texts that pass it, and their characters so far
        self._known_ends: dict[int, _Ends] = {}
        self._known_tokens: dict[tuple[str, bool], list[int]] = {}
        for number, text in enumerate(self.texts):
            node = 0
            for offset, character in enumerate(text, start=1):
                if character not in self._children[node]:
                    self._children[node][character] = len(self._children)
                    self._children.append({})
                    self.through.append([])
                node = self._children[node][character]
                self.through[node].append((number, offset))

    def spellings(self) -> list[str]:
        """The texts in their usual cases: as they are, in small letters, with a capital, in capitals."""
        if not self._fold:
            return self.texts
        cases = ((text, text[:1].upper() + text[1:], text.upper()) for text in self.texts)
        return list(dict.fromkeys(form for forms in cases for form in forms))

    def ending(self, nodes: Iterable[int]) -> list[int]:
        """Texts whose last character is at one of the nodes."""
        return [text for node in nodes for text, offset in self.through[node] if offset == len(self.texts[text])]

    def advance(self, nodes: tuple[int, ...], before: str, character: str) -> tuple[tuple[int, ...], list[int]]:
        """The nodes after one more character, and the texts that are found for certain.

        nodes   those of the texts that may be in progress
        before  the character before; "" at the start
        """
        # texts that end in a letter have been found once no letter follows
        found = (
            [] if is_in_word(character) else [text for text in self.ending(nodes) if is_in_word(self.texts[text][-1])]
        )
        key = folded(character) if self._fold else character
        after = [self._children[node][key] for node in nodes if key in self._children[node]]
        if key in self._children[0] and not (before and is_in_word(before) and is_in_word(character)):
            after.append(self._children[0][key])
        found += [text for text in self.ending(after) if not is_in_word(self.texts[text][-1])]
        return tuple(after), found

    def found_in(self, line: str) -> list[str]:
        """The texts that a line has."""
        nodes: tuple[int, ...] = ()
        found: list[int] = []
        for before, character in pairwise(f" {line} "):
            nodes, new = self.advance(nodes, before, character)
            found += new
        return [self.texts[text] for text in found]

    def completions(
        self, nodes: tuple[int, ...], before: str, partial: bytes, *, among: frozenset[int] | None = None
    ) -> set[int]:
        """Tokens that write the end of a text; partial: bytes of a character that is not complete.

        among  texts that count; None: all
        """
        # behind a word only a text with another first character begins, unless half a character is between them
        start = _BEHIND_WORD if before and is_in_word(before) else 0
        ends = [self._ends(node, among) for node in (start, *nodes)]
        last_bytes = (self._vocabulary.last_bytes(each.characters, partial, fold=self._fold) for each in ends)
        whole = [self._ends(node, among).tokens for node in (_INSIDE, 0 if partial else start)]
        return set().union(*whole, *(each.tokens for each in ends), *last_bytes)

    def _ends(self, node: int, among: frozenset[int] | None) -> _Ends:
        """Ends of the texts after a node."""
        if among is None and node in self._known_ends:
            return self._known_ends[node]
        passing = self.through[node] if node > 0 else [(text, 0) for text in range(len(self.texts))]
        rests = {self.texts[text][offset:] for text, offset in passing if among is None or text in among} - {""}
        if node == _BEHIND_WORD:
            rests = {rest for rest in rests if not is_in_word(rest[0])}
        tokens = frozenset(token for rest in rests for token in self._tokens(rest, inside=node == _INSIDE))
        ends = _Ends(tokens, frozenset(rest for rest in rests if len(rest) == 1))
        if among is None:
            self._known_ends[node] = ends
        return ends

    def _tokens(self, rest: str, *, inside: bool) -> list[int]:
        """Tokens that write the rest of a text; inside: and characters of another word before it."""
        if (rest, inside) not in self._known_tokens:  # asked for in every state of an automaton
            find = self._vocabulary.containing if inside else self._vocabulary.completing
            self._known_tokens[rest, inside] = find(rest, fold=self._fold)
        return self._known_tokens[rest, inside]
