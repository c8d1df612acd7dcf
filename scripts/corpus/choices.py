"""Sensible random phrases: who does something, what it is done to, when and where."""

from functools import cache

from corpus import german
from corpus.chance import Chance
from corpus.nouns import NOUN, Noun, nouns_of
from corpus.phrases import NounPhrase, Part, name_phrase, noun_phrase, pronoun
from corpus.words import (
    ADJECTIVE,
    CITIES,
    FREQUENCIES,
    FUTURE_TIMES,
    MANNERS,
    MEANS,
    NAMES,
    PAST_TIMES,
    PLACES,
    PRESENT_TIMES,
    SEASONS,
    WEEKDAYS,
    Adjective,
    read_pairs,
)  # fmt: skip

OWNERS = ("my", "my", "your", "his", "her", "our", "their")
PEOPLE = nouns_of("person")
SUBJECT_PRONOUNS = ("I", "I", "you", "he", "she", "we", "they")
SMALL_NUMBERS = ("two", "three", "four", "five")

PLACE_ROWS = [line.split(" | ") for line in PLACES.strip().splitlines()]
PLACE_PREPOSITIONS = {noun: (where_en, where_de, *whither.split()) for noun, where_en, where_de, whither in PLACE_ROWS}


def adjective_for(chance: Chance, noun: Noun, probability: float) -> Adjective | None:
    """An adjective that suits the noun, sometimes."""
    if not chance.happens(probability):
        return None
    fitting = adjectives_of(noun)
    return chance.pick(fitting) if fitting else None


@cache
def adjectives_of(noun: Noun) -> tuple[Adjective, ...]:
    return tuple(a for a in ADJECTIVE.values() if set(a.classes) & set(noun.classes))


def singular_determiner(chance: Chance, noun: Noun) -> str:
    if "kin" in noun.classes:
        return chance.pick(OWNERS)
    if "event" in noun.classes:
        return chance.pick(("the", "the", "a", "this", "our"))
    if "mass" in noun.classes:
        return chance.pick(("", "", "", "the"))
    if "person" in noun.classes or "transport" in noun.classes or "area" in noun.classes:
        return chance.pick(("the", "the", "the", "a", "this"))
    if "building" in noun.classes and "home" not in noun.classes:
        return chance.pick(("the", "the", "the", "a", "this"))
    return chance.pick(("the", "the", "the", "a", "a", "a", "this", chance.pick(OWNERS), chance.pick(OWNERS)))


def plural_determiner(chance: Chance, noun: Noun) -> str:
    if "kin" in noun.classes:
        return chance.pick(OWNERS)
    if "person" in noun.classes:
        return chance.pick(("the", "the", "this", "many", chance.pick(SMALL_NUMBERS), "all the"))
    owners = () if "transport" in noun.classes or "area" in noun.classes else (chance.pick(OWNERS),)
    return chance.pick(("the", "the", "", "this", "many", chance.pick(SMALL_NUMBERS), "all the", *owners))


def some_phrase(chance: Chance, noun: Noun, *, described: float = 0.3, plural: float = 0.2) -> NounPhrase:
    """The noun with a determiner that suits it, perhaps an adjective, perhaps in the plural."""
    is_plural = noun.countable and chance.happens(plural)
    determiner = plural_determiner(chance, noun) if is_plural else singular_determiner(chance, noun)
    return noun_phrase(noun, determiner, adjective_for(chance, noun, described), plural=is_plural)


def someone(chance: Chance, *, pronouns: float = 0.4, plural: float = 0.12) -> NounPhrase:
    """A person as a subject: a pronoun, a name, or a noun."""
    if chance.happens(pronouns):
        return pronoun(chance.pick(SUBJECT_PRONOUNS))
    if chance.happens(0.35):
        return a_name(chance)
    return some_phrase(chance, chance.pick(PEOPLE), described=0.15, plural=plural)


def third_person(chance: Chance) -> NounPhrase:
    return someone(chance, pronouns=0)


def a_name(chance: Chance) -> NounPhrase:
    return name_phrase(*chance.pick(read_pairs(NAMES)))


def person_object(chance: Chance) -> NounPhrase:
    """A person as an object; pronouns of the third person, "me" and "us" among them."""
    if chance.happens(0.35):
        return pronoun(chance.pick(("I", "he", "she", "we", "they")))
    return third_person(chance)


# When


def past_time(chance: Chance) -> Part:
    if chance.happens(0.35):
        count = chance.pick(("a", *SMALL_NUMBERS, "six", "ten"))
        unit = NOUN[chance.pick(("week", "month", "year") if count == "a" else ("day", "week", "month", "year"))]
        span = noun_phrase(unit, count, plural=count != "a")
        return Part(f"{span.english} ago", german.prepositional("vor", span.case("dative")), "time")
    return time_part(chance, PAST_TIMES)


def time_part(chance: Chance, table: str) -> Part:
    english, german_text = chance.pick(read_pairs(table))
    return Part(english, german_text, "time")


def weekday(chance: Chance) -> Part:
    english, german_text = chance.pick(read_pairs(WEEKDAYS))
    return Part(f"on {english}", f"am {german_text}", "time")


def future_time(chance: Chance) -> Part:
    return weekday(chance) if chance.happens(0.4) else time_part(chance, FUTURE_TIMES)


def present_time(chance: Chance) -> Part:
    return time_part(chance, SEASONS if chance.happens(0.15) else PRESENT_TIMES)


def manner(chance: Chance, *names: str) -> Part:
    english, german_text = chance.pick([row for row in read_pairs(MANNERS) if row[0] in names])
    return Part(english, german_text, "manner")


def frequency(chance: Chance) -> Part:
    english, german_text = chance.pick(read_pairs(FREQUENCIES))
    return Part(english, german_text, "frequency")


# Where


def place_noun(chance: Chance) -> Noun:
    return NOUN[chance.pick(PLACE_ROWS)[0]]


def location(chance: Chance, noun: Noun | None = None, *, described: float = 0.15) -> Part:
    """Where something happens: "in the park", "im Park"; or a city."""
    if noun is None and chance.happens(0.15):
        return in_a_city(chance)
    noun = noun or place_noun(chance)
    english, preposition, _, _ = PLACE_PREPOSITIONS[noun.english]
    phrase = noun_phrase(noun, "the", adjective_for(chance, noun, described))
    german_text = german.prepositional(preposition, phrase.case("dative"))
    return Part(f"{english} {phrase.english}", german_text, "place")


def in_a_city(chance: Chance) -> Part:
    english, german_text = chance.pick(read_pairs(CITIES))
    return Part(f"in {english}", f"in {german_text}", "place")


def destination(chance: Chance, *, by_car: bool, described: float = 0.12) -> Part:
    """Where to: "to the park", "in den Park"; "to Berlin", "nach Berlin"; by car not to a kitchen."""
    if chance.happens(0.08):
        return Part("home", "nach Hause", "direction")
    if chance.happens(0.25):
        return city_destination(chance)
    noun = place_noun(chance)
    while by_car and "room" in noun.classes:
        noun = place_noun(chance)
    _, _, preposition, case = PLACE_PREPOSITIONS[noun.english]
    phrase = noun_phrase(noun, "the", adjective_for(chance, noun, described))
    german_text = german.prepositional(preposition, phrase.case(case))
    return Part(f"to {phrase.english}", german_text, "direction")


def city_destination(chance: Chance) -> Part:
    english, german_text = chance.pick(read_pairs(CITIES))
    return Part(f"to {english}", f"nach {german_text}", "direction")


def means(chance: Chance, *, far: bool) -> Part:
    """By train and by bus between cities, not by train to the kitchen."""
    ways = read_pairs(MEANS)
    english, german_text = chance.pick(ways[:4] + ways[4:5] if far else ways[1:4] + ways[5:])
    return Part(english, german_text, "means")
