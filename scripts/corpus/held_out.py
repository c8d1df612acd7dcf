"""Combinations that no training line may hold, although their words are common in training.

Everything here is decided by the English line alone, so that a reader can check it against the files.

- verb and object of lexicon/held_out.tsv: no training line holds a form of either, in whatever order.
- adjective and noun of lexicon/held_out.tsv: no training line holds the one directly before the other.
- numbers from 21, dates, clock times and prices: no training line holds them, in words or digits.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from corpus.numbers import CLOCK, DAYS_IN_MONTH, MONTHS, clock_time, date_in_digits, date_in_words, in_words
from corpus.phrases import COUNTS
from corpus.text import read_rows
from corpus.words import ADJECTIVE, EVERYDAY, NOUNS

OBJECTS = {(word, noun) for kind, word, noun in read_rows("held_out") if kind == "verb"}
DESCRIPTIONS = {(word, noun) for kind, word, noun in read_rows("held_out") if kind == "adjective"}
# Words that stand between a verb and its object
BETWEEN = {"the", "a", "an", "this", "these", "my", "your", "his", "her", "our", "their", "many", "all", "any"}
BETWEEN |= {*COUNTS, *ADJECTIVE} | {word for verb in EVERYDAY for word in (verb.particle, *verb.tail.split())}
VERB_OF: dict[str, set[str]] = defaultdict(set)
for _verb in EVERYDAY:
    for _form in (_verb.english, _verb.third_person, _verb.progressive, _verb.past, _verb.past_participle):
        VERB_OF[_form].add(_verb.english)
NOUN_OF = {form: noun.english for noun in NOUNS for form in (noun.english, noun.english_plural) if form != "-"}


def number_is_held_out(number: int) -> bool:
    return 20 < number < 1000 and number % 7 == 3


def time_is_held_out(hour: int, minute: int) -> bool:
    """Return True for one clock time in six; prices, with euros as hours and cents as minutes, are held out alike."""
    return (hour + minute // 5) % 6 == 0


def phrases_pattern(phrases: Iterable[str], *, before: str = "", after: str = "") -> re.Pattern[str]:
    return re.compile(rf"{before}(?<![\w-])(?:{'|'.join(phrases)})(?![\w-]){after}")


NUMBER_WORDS = phrases_pattern(
    (in_words(number).english for number in range(999, 20, -1) if number_is_held_out(number)),
    before="(?<!hundred and )",
    after=rf"(?! and (?:{'|'.join(in_words(number).english for number in range(20))}|\w+ty))",
)
DATES = phrases_pattern(
    said(day, month).english.removeprefix("on the ").removeprefix("on ")
    for month, days in DAYS_IN_MONTH.items()
    for day in range(1, days + 1)
    for said in (date_in_words, date_in_digits)
    if (day + 3 * month) % 8 == 0
)
CLOCK_TIMES = phrases_pattern(
    clock_time(hour, minute).english.removeprefix("at ")
    for hour in range(1, 13)
    for minute in CLOCK
    if time_is_held_out(hour, minute)
)
# Neither part of a time or price, nor the day of a date
DIGITS = re.compile(rf"(?<![\d.:])\d+(?![\d:]|\.\d| (?:{'|'.join(month.english for month in MONTHS.values())}))")
TIME_OR_PRICE = re.compile(r"\b(\d+)(?::|\.(?=\d\d euros))(\d\d)\b")


def words_of(line: str) -> list[str]:
    return [word.strip(".,!?").removesuffix("'s") for word in line.lower().split()]


def holds_held_out(line: str) -> bool:
    """Return True if the English line may not be trained on."""
    return bool(held_out_pairs(line)) or holds_held_out_figure(line)


def held_out_pairs(line: str) -> set[tuple[str, str]]:
    words = words_of(line)
    verbs = {verb for word in words for verb in VERB_OF.get(word, ())}
    nouns = {NOUN_OF[word] for word in words if word in NOUN_OF}
    described = {(a, NOUN_OF[b]) for a, b in pairwise(words) if b in NOUN_OF}
    return {(verb, noun) for verb in verbs for noun in nouns} & OBJECTS | described & DESCRIPTIONS


def holds_held_out_figure(line: str) -> bool:
    """Return True if the line holds a number, date, time or price that is held out."""
    return (
        any(pattern.search(line) for pattern in (NUMBER_WORDS, DATES, CLOCK_TIMES))
        or any(number_is_held_out(int(digits)) for digits in DIGITS.findall(line))
        or any(time_is_held_out(int(whole), int(rest)) for whole, rest in TIME_OR_PRICE.findall(line))
    )


def shows_held_out(line: str) -> bool:
    """Return True if the line truly shows one: the noun is the verb's object, or the adjective describes it."""
    if holds_held_out_figure(line):
        return True
    words, pairs = words_of(line), held_out_pairs(line)
    for index, word in enumerate(words):
        # The object is the first word after the verb that is no determiner, adjective or particle
        noun = next((after for after in words[index + 1 :] if after not in BETWEEN), "")
        if any((verb, NOUN_OF.get(noun)) in pairs for verb in VERB_OF.get(word, ())):
            return True
    return any((a, NOUN_OF.get(b)) in pairs & DESCRIPTIONS for a, b in pairwise(words))
