"""Noise of real text: pure functions of a sentence pair and a random generator.

Noise changes the source. The target follows if the noise carries meaning (capitals, emoji, a missing final mark) and
stays clean if it is an error. The noisy source depends only on the source and the generator, so that several references
of one source can follow it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from translate.data.augmentation.synonyms import Synonyms

Pair = tuple[str, str]
Noise = Callable[[str, str, Random], Pair]

TYPO_RATE = 0.04  # typos per letter; at least one in a text with words
_SYNONYM_RATE = 0.3  # share of the words with synonyms that are replaced; at least one word

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_MARKS = "[.!?…。！？।؟]"
# starts only at the first of several marks: a line of marks would take quadratic time
_FINAL_MARK = re.compile(rf"(?<!{_MARKS})({_MARKS}+)([\"'”’»)\]]*)\s*$")
# not inside numbers and times: 3,5 and 16:05
_INNER_MARK = re.compile(r"(?<!\d)[,;:、，；：،](?!\d)|(?<=\d)[,;:、，；：،](?=\s)")

_KEYBOARDS = (
    ("qwertyuiopü", "asdfghjklöä", "zxcvbnm"),
    ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"),
    ("ςερτυθιοπ", "ασδφγηξκλ", "ζχψωβνμ"),
)
_EMOJI = (
    *"😀😁😂🤣😃😄😅😉😊😋😎😍😘🤗🤔😐🙄😏😣😥😮😯😪😫😴😌😛😜🤤😒😓😔😕🙃😲🙁😖😞😟😢😭😨😩🤯😬😰😱😳😡🙏👏👍👎👌💪🎉🔥💯✨🚀",
    "❤️",  # with a variation selector
    "👍🏽",  # with a skin tone
    "👩‍💻",  # joined of two
)


def capitals(source: str, target: str, random: Random) -> Pair:
    """Both sides in capital letters."""
    return source.upper(), target.upper()


def title_case(source: str, target: str, random: Random) -> Pair:
    """A Capital For Each Source Word, as in headlines; the target is unchanged, since languages differ in this."""
    return _WORD.sub(lambda word: _capital(word[0][0]) + word[0][1:], source), target


def punctuation(source: str, target: str, random: Random) -> Pair:
    """Missing or repeated punctuation: no final mark on either side, or, in the source only, no inner marks or two to
    three final marks.
    """
    kind = random.randrange(3)
    if kind == 0:
        return _FINAL_MARK.sub(r"\2", source), _FINAL_MARK.sub(r"\2", target)
    if kind == 1:
        return _INNER_MARK.sub("", source), target
    return _FINAL_MARK.sub(lambda mark: mark[1] * random.choice((2, 2, 3)) + mark[2], source), target


def typos(source: str, target: str, random: Random, *, rate: float = TYPO_RATE) -> Pair:
    """Typing errors in the source: neighbouring keys, swapped, missing and doubled letters.

    rate  probability of an error at each letter of an alphabet; a text with words has at least one
    """
    positions = [match.start() for match in re.finditer(r"[^\W\d_]", source) if _is_typed(match[0])]
    if not positions:
        return source, target
    chosen = [position for position in positions if random.random() < rate] or [random.choice(positions)]
    letters = [*source, ""]
    for position in chosen:
        _mistype(letters, position, random)
    return "".join(letters), target


def emoji(source: str, target: str, random: Random) -> Pair:
    """One to three emoji, the same on both sides: after the text, or sometimes before it."""
    signs = random.choice(_EMOJI) * random.choice((1, 1, 1, 2, 3))
    if random.random() < 0.1:
        return f"{signs} {source}", f"{signs} {target}"
    return f"{source} {signs}", f"{target} {signs}"


def synonyms(source: str, target: str, random: Random, *, known: Synonyms, rate: float = _SYNONYM_RATE) -> Pair:
    """Replace words of the source by synonyms, with the same capitalisation.

    rate  share of the words with synonyms that are replaced; at least one, if there is any
    """
    words = [word for word in _WORD.finditer(source) if known(word[0].lower())]
    if not words:
        return source, target
    chosen = [word for word in words if random.random() < rate] or [random.choice(words)]
    pieces, end = [], 0
    for word in chosen:
        pieces += [source[end : word.start()], _cased_like(word[0], random.choice(known(word[0].lower())))]
        end = word.end()
    return "".join(pieces) + source[end:], target


NOISES: dict[str, Noise] = {
    "capitals": capitals,
    "title_case": title_case,
    "punctuation": punctuation,
    "typos": typos,
    "emoji": emoji,
}


def _capital(letter: str) -> str:
    # "ß" and "ŉ" have capitals of two characters
    return letter.upper() if len(letter.upper()) == 1 else letter


def _cased_like(word: str, synonym: str) -> str:
    if len(word) > 1 and word.isupper():
        return synonym.upper()
    return _capital(synonym[0]) + synonym[1:] if word[0].isupper() else synonym


def _is_typed(letter: str) -> bool:
    """True for a letter that has its own key; Chinese, Japanese and Korean are entered with an input method."""
    return ord(letter) < 0x2E80


def _mistype(letters: list[str], position: int, random: Random) -> None:
    """Mistype one letter of a text, in place; the last item of letters is an empty string."""
    letter, before, following = letters[position], letters[position - 1] if position else "", letters[position + 1]
    kind = random.randrange(4)
    if kind == 0 and (near := _NEIGHBOURS.get(letter.lower())):
        wrong = random.choice(near)
        letters[position] = wrong.upper() if letter.isupper() else wrong
    elif kind == 1 and following.isalpha() and following != letter:
        letters[position], letters[position + 1] = following, letter
    elif kind == 2 and (before.isalpha() or following.isalpha()):  # never delete a word of one letter
        letters[position] = ""
    else:
        letters[position] = letter * 2


def _neighbours() -> dict[str, str]:
    """Neighbours of each key: left and right, and two each in the rows above and below."""
    found: dict[str, str] = {}
    for rows in _KEYBOARDS:
        for number, row in enumerate(rows):
            for column, letter in enumerate(row):
                near = [row[column - 1 : column] if column else "", row[column + 1 : column + 2]]
                # each row is half a key to the right of the one above
                near += [rows[number - 1][column : column + 2]] if number else []
                near += [rows[number + 1][max(column - 1, 0) : column + 1]] if number + 1 < len(rows) else []
                found[letter] = "".join(near)
    return found


_NEIGHBOURS = _neighbours()
