"""Combinations that no training line may hold, although their words are common in training.

Everything here is decided by the English line alone, so that a reader can check it against the files.

- verb and object: no training line holds a form of the verb and a form of the noun, in whatever order.
- adjective and noun: no training line holds the one directly before the other.
- numbers from 21, dates, clock times and prices: no training line holds them, in words or digits.
"""

import re
from itertools import pairwise

from corpus import verbs
from corpus.numbers import CLOCK, DAYS_IN_MONTH, MONTHS, clock_time, date_in_digits, date_in_words, english_number
from corpus.phrases import COUNTS
from corpus.words import ADJECTIVE, ADJECTIVES, NOUNS, Noun, Verb, nouns_of

OBJECT_VERBS = verbs.EVERYDAY
FEWEST_OBJECTS = 8  # a verb with fewer keeps them all
BETWEEN = {"the", "a", "an", "this", "these", "my", "your", "his", "her", "our", "their", "many", "all", "any"}
BETWEEN |= {*COUNTS, *ADJECTIVE} | {word for verb in OBJECT_VERBS for word in (verb.particle, *verb.tail.split())}


def verb_forms(verb: Verb) -> set[str]:
    return {verb.english, verb.third_person, verb.progressive, verb.past, verb.past_participle}


def noun_forms(noun: Noun) -> set[str]:
    return {noun.english, noun.english_plural} - {"-"}


def held_out_objects() -> set[tuple[str, str]]:
    """Verbs (by their first word) and nouns: every seventh object of every verb."""
    heads = list(dict.fromkeys(verb.english for verb in OBJECT_VERBS))
    pairs = set()
    for verb in OBJECT_VERBS:
        objects = nouns_of(*[name for name in verb.classes if name not in ("person", "kin")])
        if len(objects) >= FEWEST_OBJECTS:
            offset = heads.index(verb.english)
            pairs |= {(verb.english, noun.english) for noun in objects if (NOUNS.index(noun) + 3 * offset) % 7 == 0}
    return pairs


def held_out_descriptions() -> set[tuple[str, str]]:
    """Adjectives and nouns: every ninth that makes sense."""
    return {
        (adjective.english, noun.english)
        for i, adjective in enumerate(ADJECTIVES)
        for j, noun in enumerate(NOUNS)
        if (2 * i + j) % 9 == 0 and noun.belongs_to(*adjective.classes)
    }


OBJECTS = held_out_objects()
DESCRIPTIONS = held_out_descriptions()
VERB_OF: dict[str, set[str]] = {}
for _verb in OBJECT_VERBS:
    for _form in sorted(verb_forms(_verb)):
        VERB_OF.setdefault(_form, set()).add(_verb.english)
NOUN_OF = {form: noun.english for noun in NOUNS for form in sorted(noun_forms(noun))}


def number_is_held_out(number: int) -> bool:
    return 20 < number < 1000 and number % 7 == 3


def date_is_held_out(day: int, month: int) -> bool:
    return (day + 3 * month) % 8 == 0


def clock_is_held_out(hour: int, minute: int) -> bool:
    return (hour + minute // 5) % 6 == 0


def price_is_held_out(euros: int, cents: int) -> bool:
    return (euros + cents // 5) % 6 == 0


def phrases_pattern(phrases: list[str], *, before: str = "", after: str = "") -> re.Pattern[str]:
    return re.compile(rf"{before}(?<![\w-])(?:{'|'.join(phrases)})(?![\w-]){after}")


NUMBER_WORDS = phrases_pattern(
    [english_number(number) for number in range(999, 20, -1) if number_is_held_out(number)],
    before="(?<!hundred and )",
    after=rf"(?! and (?:{'|'.join(map(english_number, range(20)))}|\w+ty))",
)
DATES = phrases_pattern(
    [
        said(day, month).english.removeprefix("on the ").removeprefix("on ")
        for month, days in DAYS_IN_MONTH.items()
        for day in range(1, days + 1)
        if date_is_held_out(day, month)
        for said in (date_in_words, date_in_digits)
    ]
)
CLOCK_TIMES = phrases_pattern(
    [
        clock_time(hour, minute).english.removeprefix("at ")
        for hour in range(1, 13)
        for minute in CLOCK
        if clock_is_held_out(hour, minute)
    ]
)
DIGITS = re.compile(rf"(?<![\d.:])\d+(?![\d:]|\.\d| (?:{'|'.join(month.english for month in MONTHS.values())}))")
DIGITAL_TIME = re.compile(r"\b(\d+):(\d\d)\b")
PRICE = re.compile(r"\b(\d+)\.(\d\d) euros\b")


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
        or any(clock_is_held_out(int(hour), int(minute)) for hour, minute in DIGITAL_TIME.findall(line))
        or any(price_is_held_out(int(euros), int(cents)) for euros, cents in PRICE.findall(line))
    )


def shows_held_out(line: str) -> bool:
    """Return True if the line truly shows one: the noun is the verb's object, or the adjective describes it."""
    if holds_held_out_figure(line):
        return True
    words, pairs = words_of(line), held_out_pairs(line)
    for index, word in enumerate(words):
        for verb in VERB_OF.get(word, ()):
            noun = next((after for after in words[index + 1 :] if after not in BETWEEN), "")
            if (verb, NOUN_OF.get(noun, "")) in pairs:
                return True
    return any((a, NOUN_OF.get(b, "")) in pairs & DESCRIPTIONS for a, b in pairwise(words))
