"""Sensible random phrases: who does something, what it is done to, when and where."""

from functools import cache

from corpus.chance import Chance
from corpus.phrases import SMALL_NUMBERS, NounPhrase, Part, name_phrase, noun_phrase, pronoun
from corpus.tables import phrases, read_rows
from corpus.text import Pair
from corpus.words import ADJECTIVES, NOUN, Adjective, Noun, nouns_of

OWNERS = ("my", "my", "your", "his", "her", "our", "their")
PEOPLE = nouns_of("person")
STRANGERS = tuple(noun for noun in PEOPLE if not noun.belongs_to("kin"))
# English noun -> prepositions of location, German preposition of direction and its case
PLACES = {
    noun: (Pair(english, german), Pair("to", direction), case)
    for noun, english, german, direction, case in read_rows("places")
}


@cache
def adjectives_of(noun: Noun) -> tuple[Adjective, ...]:
    return tuple(adjective for adjective in ADJECTIVES if noun.belongs_to(*adjective.classes))


def adjective_for(chance: Chance, noun: Noun, probability: float) -> Adjective | None:
    """An adjective that suits the noun, with the given probability."""
    if not chance.happens(probability):
        return None
    fitting = adjectives_of(noun)
    return chance.pick(fitting) if fitting else None


def suitable(chance: Chance, noun: Noun) -> Adjective:
    adjective = adjective_for(chance, noun, 1)
    assert adjective, noun
    return adjective


def described(chance: Chance, noun: Noun, determiner: str, probability: float, *, plural: bool = False) -> NounPhrase:
    """The noun with a determiner and, with the given probability, an adjective."""
    return noun_phrase(noun, determiner, adjective_for(chance, noun, probability), plural=plural)


def perhaps_plural(chance: Chance, noun: Noun, probability: float) -> bool:
    return noun.countable and chance.happens(probability)


def singular_determiner(chance: Chance, noun: Noun) -> str:
    if noun.belongs_to("kin"):
        return chance.pick(OWNERS)
    if noun.belongs_to("event"):
        return chance.pick(("the", "the", "a", "this", "our"))
    if noun.belongs_to("mass"):
        return chance.pick(("", "", "", "the"))
    is_public_building = noun.belongs_to("building") and not noun.belongs_to("home")
    if noun.belongs_to("person", "transport", "area") or is_public_building:
        return chance.pick(("the", "the", "the", "a", "this"))
    return chance.pick(("the", "the", "the", "a", "a", "a", "this", chance.pick(OWNERS), chance.pick(OWNERS)))


def plural_determiner(chance: Chance, noun: Noun) -> str:
    if noun.belongs_to("kin"):
        return chance.pick(OWNERS)
    if noun.belongs_to("person"):
        return chance.pick(("the", "the", "this", "many", chance.pick(SMALL_NUMBERS), "all the"))
    owners = () if noun.belongs_to("transport", "area") else (chance.pick(OWNERS),)
    return chance.pick(("the", "the", "", "this", "many", chance.pick(SMALL_NUMBERS), "all the", *owners))


def some_phrase(chance: Chance, noun: Noun, *, described: float = 0.3, plural: float = 0.2) -> NounPhrase:
    """The noun with a determiner that suits it, perhaps an adjective, perhaps in the plural."""
    is_plural = perhaps_plural(chance, noun, plural)
    determiner = plural_determiner(chance, noun) if is_plural else singular_determiner(chance, noun)
    return noun_phrase(noun, determiner, adjective_for(chance, noun, described), plural=is_plural)


def someone(chance: Chance, *, pronouns: float = 0.4, plural: float = 0.12) -> NounPhrase:
    """A person as a subject: a pronoun, a name, or a noun."""
    if chance.happens(pronouns):
        return pronoun(chance.pick(("I", "I", "you", "he", "she", "we", "they")))
    if chance.happens(0.35):
        return a_name(chance)
    return some_phrase(chance, chance.pick(PEOPLE), described=0.15, plural=plural)


def someone_else(chance: Chance, subject: NounPhrase) -> NounPhrase:
    return chance.until(someone, lambda other: other.english != subject.english)


def third_person(chance: Chance) -> NounPhrase:
    return someone(chance, pronouns=0)


def a_name(chance: Chance) -> NounPhrase:
    return name_phrase(*chance.pick(read_rows("names")))


def person_object(chance: Chance) -> NounPhrase:
    """A person as an object; pronouns of the third person, "me" and "us" among them."""
    if chance.happens(0.35):
        return pronoun(chance.pick(("I", "he", "she", "we", "they")))
    return third_person(chance)


def same_person(first: NounPhrase, second: NounPhrase) -> bool:
    """Return True if object and subject would need a reflexive, or repeat themselves."""
    return first.english_object == second.english_object or {first.person, second.person} == {"1s", "1p"}


def person_besides(chance: Chance, subject: NounPhrase) -> NounPhrase:
    return chance.until(person_object, lambda phrase: not same_person(subject, phrase))


def listed(chance: Chance, name: str, slot: str) -> Part:
    """A part of one of the lists of phrases."""
    return Part(*chance.pick(phrases(name)), slot)


# When


def time_span(chance: Chance, count: str, units: tuple[str, ...]) -> NounPhrase:
    return noun_phrase(NOUN[chance.pick(units)], count, plural=count != "a")


def past_time(chance: Chance) -> Part:
    if chance.happens(0.35):
        count = chance.pick(("a", *SMALL_NUMBERS, "six", "ten"))
        span = time_span(chance, count, ("week", "month", "year") if count == "a" else ("day", "week", "month", "year"))
        return Part(f"{span.english} ago", span.after(Pair("", "vor"), "dative").german, "time")
    return listed(chance, "past time", "time")


def future_time(chance: Chance) -> Part:
    return listed(chance, "weekday" if chance.happens(0.4) else "future time", "time")


def present_time(chance: Chance) -> Part:
    return listed(chance, "season" if chance.happens(0.15) else "present time", "time")


def manner(chance: Chance, *names: str) -> Part:
    return Part(*chance.pick([row for row in phrases("manner") if row.english in names]), "manner")


# Where


def location(chance: Chance, noun: Noun | None = None) -> Part:
    """Where something happens: "in the park", "im Park"; or a city."""
    if noun is None and chance.happens(0.15):
        return in_a_city(chance)
    noun = noun or place_noun(chance)
    preposition, _, _ = PLACES[noun.english]
    return Part(*described(chance, noun, "the", 0.15).after(preposition, "dative"), "place")


def place_noun(chance: Chance) -> Noun:
    return NOUN[chance.pick(tuple(PLACES))]


def in_a_city(chance: Chance) -> Part:
    english, german = chance.pick(phrases("city"))
    return Part(f"in {english}", f"in {german}", "place")


def destination(chance: Chance, *, by_car: bool) -> Part:
    """Where to: "to the park", "in den Park"; "to Berlin", "nach Berlin"; by car not to a kitchen."""
    if chance.happens(0.08):
        return HOME
    if chance.happens(0.25):
        return city_destination(chance)
    noun = chance.until(place_noun, lambda noun: not (by_car and noun.belongs_to("room")))
    _, preposition, case = PLACES[noun.english]
    return Part(*described(chance, noun, "the", 0.12).after(preposition, case), "direction")


HOME = Part("home", "nach Hause", "direction")


def city_destination(chance: Chance) -> Part:
    english, german = chance.pick(phrases("city"))
    return Part(f"to {english}", f"nach {german}", "direction")


def means(chance: Chance, goal: Part) -> Part:
    """By train and by bus between cities, not by train to the kitchen."""
    ways = phrases("means")
    return Part(*chance.pick(ways[:5] if is_city(goal) else ways[1:4] + ways[5:]), "means")


def is_city(goal: Part) -> bool:
    return goal.english.removeprefix("to ").istitle()
