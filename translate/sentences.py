"""Sentence splitting: sentencex, with workarounds for its limits.

sentencex knows the abbreviations and ordinals of some thirty languages ("Dr.", "z. B.", "3. Mai") and the sentence
marks of all scripts. But it never splits inside quotations, relies on capital letters that a text may not have, and
takes quadratic time on text without spaces.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import accumulate, pairwise

import sentencex
from fontTools import unicodedata

VERSION = 3  # raise it when the same line gives other sentences
_WINDOW = 2000  # characters given to sentencex at once

# Where sentencex does not split: quotations, and brackets around more than a remark. Single quotation marks count only
# where they are not apostrophes.
_ENCLOSING = re.compile(r"[\"“”„‟«»‹›「」『』《》]|``|''|(?<!\w)['‘’]|['‘’](?!\w)|[(（<{\[](?=[^)\]}>）]{100})")
_OPENING = frozenset("“„‟«‹「『《‘`([{<（")
_SPACE = re.compile(r"\s")
# Khmer's and Tibetan's full stops, which sentencex does not know; "។ល។" is Khmer's "etc."
_FULL_STOP = re.compile("(?<!។ល)[។៕།༎](?!ល។)")
_KNOWN_FULL_STOP = "।"  # Devanagari's, in text of any language
# Tokenised text has a space before the mark.
_MARK_BETWEEN_SPACES = re.compile(r"(?<=\s)(?:\.|[?!]+)\s+")
_FIRST_LETTER = re.compile(r"((?<!\.)[.?!][\"'”’»)\]]*\s+)([^\W\d_])")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"\w")
_INITIAL = re.compile(r"\W*(?:[^\W\d_]|\d{1,3})\.\W*")  # "M." or "1." alone

# by ISO 15924 code of the script
_SCRIPT_LANGUAGES = {
    "Hani": "zh", "Hira": "ja", "Kana": "ja", "Hang": "ko", "Deva": "hi", "Beng": "bn", "Guru": "pa",
    "Gujr": "gu", "Taml": "ta", "Telu": "te", "Knda": "kn", "Mlym": "ml", "Mymr": "my", "Thai": "th",
    "Ethi": "am", "Arab": "ar", "Hebr": "he", "Armn": "hy", "Grek": "el", "Cyrl": "ru",
}  # fmt: skip
# ISO 639-2 and 639-3 codes of the languages that sentencex has rules for, which it knows by their ISO 639-1 codes
_SHORT_CODES = {
    "amh": "am", "ara": "ar", "arb": "ar", "bul": "bg", "ben": "bn", "cat": "ca", "ces": "cs", "cze": "cs",
    "dan": "da", "deu": "de", "ger": "de", "ell": "el", "gre": "el", "eng": "en", "spa": "es", "fin": "fi",
    "fra": "fr", "fre": "fr", "guj": "gu", "hin": "hi", "hye": "hy", "arm": "hy", "ita": "it", "jpn": "ja",
    "kan": "kn", "kaz": "kk", "mal": "ml", "mar": "mr", "mya": "my", "bur": "my", "nld": "nl", "dut": "nl",
    "pan": "pa", "pol": "pl", "por": "pt", "rus": "ru", "slk": "sk", "slo": "sk", "tam": "ta", "tel": "te",
    "ukr": "uk", "zho": "zh", "chi": "zh", "cmn": "zh",
}  # fmt: skip
_SCRIPT_SAMPLE = 200  # letters that decide the script of a text


def split_sentences(text: str, language: str = "") -> list[str]:
    """The sentences of a line, each with a letter or digit, which concatenate to the line; at least one.

    language is an ISO 639 code, a region or script after it ignored; "": chosen by the script of the text.
    """
    ends = [*_sentence_ends(text, sentence_language(language, text)), len(text)]
    starts, is_begun = [0], False
    for start, end in pairwise([0, *ends]):
        # punctuation alone belongs to the sentence before it, an initial or a number to the one after it
        if _WORD.search(text, start, end):
            if is_begun:
                starts.append(start)
            is_begun = not _INITIAL.fullmatch(text, start, end)
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def sentence_language(code: str, text: str) -> str:
    """The code of the language whose rules sentencex applies to a text: that of `code`, else by the text's script."""
    primary = re.split("[-_]", code.strip().lower())[0]
    if 2 <= len(primary) <= 3 and primary.isalpha() and primary.isascii():
        return _SHORT_CODES.get(primary, primary)
    return _language_of_script(text)


def _language_of_script(text: str) -> str:
    """Code of a language with rules for the most frequent script of a text's first letters; English by default."""
    if text.isascii():
        return "en"
    letters = _LETTER.findall(text[: 2 * _SCRIPT_SAMPLE])[:_SCRIPT_SAMPLE]
    scripts = Counter(map(unicodedata.script, letters))
    if scripts["Hira"] + scripts["Kana"]:  # Japanese has more Han than Kana
        return "ja"
    return _SCRIPT_LANGUAGES.get(max(scripts, key=scripts.__getitem__, default=""), "en")


def _sentence_ends(text: str, language: str) -> list[int]:
    """Positions inside the text where a sentence ends, white space after it included, in ascending order."""
    if not text.strip():
        return []
    # 1. Characters that sentencex misreads: it counts bytes wrongly at white space other than plain spaces.
    plain = _FULL_STOP.sub(_KNOWN_FULL_STOP, _SPACE.sub(" ", text))
    # 2. Without capitals in the text, a small letter does not mean that the sentence continues.
    cased = _capitalised(plain) if plain.islower() else plain
    ends = set(_ends(cased, language))
    # 3. Ends in tokenised text.
    marks = (mark.end() for mark in _MARK_BETWEEN_SPACES.finditer(cased))
    ends.update(cut for cut in marks if not _continues(cased, cut))
    # 4. Ends inside quotations and brackets, found in the text without their marks.
    opened = _ENCLOSING.sub(lambda mark: " " * len(mark[0]), cased)
    if opened != cased:
        cuts = (_before_opening_quotes(cased, opened, cut) for cut in _ends(opened, language))
        ends.update(cut for cut in cuts if not _continues(cased, cut))
    return sorted(ends - {0, len(text)})


def _ends(text: str, language: str) -> list[int]:
    """Ends found by sentencex, window by window; the last sentence of a window is split again with the next one."""
    ends: list[int] = []
    start = 0
    while start < len(text):
        window = text[start : start + _WINDOW]
        found = list(accumulate(map(len, _segment(window, language))))[:-1]
        ends += [start + end for end in found]
        is_last = start + _WINDOW >= len(text)
        start = ends[-1] if found and not is_last else start + _WINDOW
    return ends


def _segment(text: str, language: str) -> list[str]:
    """The text as sentencex splits it; unsplit if the library fails or loses some of it."""
    try:
        pieces: list[str] = sentencex.segment(language, text)
    except BaseException as error:
        # a panic in Rust, such as for a full stop between two no-break spaces; not an Exception in Python
        if type(error).__name__ != "PanicException":
            raise
        return [text]
    pieces = [piece for piece in pieces if piece]
    return pieces if "".join(pieces) == text else [text]


def _continues(text: str, cut: int) -> bool:
    """True if the first letter or digit after the cut is a small letter: the sentence does not end there."""
    following = next((character for character in text[cut : cut + 20] if character.isalnum()), "")
    return following.islower()


def _capitalised(text: str) -> str:
    """The text with a capital letter after each mark, as long as before: "ß" stays, whose capital is two letters."""
    return _FIRST_LETTER.sub(lambda match: match[1] + _capital(match[2]), text)


def _capital(letter: str) -> str:
    capital = letter.upper()
    return capital if len(capital) == 1 else letter


def _before_opening_quotes(text: str, opened: str, cut: int) -> int:
    """The cut, moved back to before the quotation marks that belong to the next sentence."""
    before = opened[max(cut - 100, 0) : cut]
    start = cut - len(before) + len(before.rstrip())
    tail = text[start:cut]
    space = _SPACE.search(tail)
    if space is None:
        return start + next((index for index, mark in enumerate(tail) if mark in _OPENING), len(tail))
    return cut - len(tail[space.start() :].lstrip())
