"""What agrees with the noun: articles and adjectives, in gender and number."""

from dataclasses import replace

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import (
    Clause,
    Pair,
    finish,
    say,
    statement,
)
from corpus.nouns import Noun, nouns_of
from corpus.phenomena.verbs import SIMPLY_WILLED
from corpus.phrases import NounPhrase, Part, noun_phrase, object_part, pronoun
from corpus.words import ADJECTIVE, OPPOSITES, Adjective

DESCRIBABLE = nouns_of("person", "animal", "text", "food", "ware", "opening", "vehicle", "thought", "event", "room")


def predicate(adjective: Adjective) -> Part:
    return Part(adjective.english, adjective.german, "predicate")


def suitable(chance: Chance, noun: Noun) -> Adjective:
    adjective = choices.adjective_for(chance, noun, 1)
    assert adjective, noun
    return adjective


def two_adjectives(chance: Chance, noun: Noun) -> tuple[Adjective, Adjective]:
    first = suitable(chance, noun)
    second = suitable(chance, noun)
    while second == first or any({first.english, second.english} <= set(group.split()) for group in OPPOSITES):
        second = suitable(chance, noun)
    return first, second


def gender_agreement(chance: Chance) -> Pair:
    """This is a red car. -> Das ist ein rotes Auto."""
    noun = chance.pick(DESCRIBABLE)
    adjective, other = two_adjectives(chance, noun)
    determiner = choices.singular_determiner(chance, noun)
    phrase = noun_phrase(noun, determiner, adjective)
    kind = chance.number(1, 3)
    if kind == 1 and "person" not in noun.classes:
        owner = choices.someone(chance)
        phrase = noun_phrase(noun, "" if "mass" in noun.classes else "a", adjective)
        verb = chance.pick(build.TRANSITIVE)
        fits = any(name in noun.classes for name in verb.classes)
        verb = verb if fits else build.HAVE if {"ware", "animal", "food"} & set(noun.classes) else verb
        clause = Clause(owner, verb, (object_part(verb, phrase),))
        if fits:
            return say(statement(tenses.in_present(chance, clause)))
        if verb is build.HAVE:
            return say(statement(replace(clause, tense=chance.pick(("present", "past")))))
    if kind == 2:
        opening = chance.pick((("this is", "das ist"), ("is this", "ist das"), ("that is not", "das ist nicht")))
        mark = "?" if opening[0] == "is this" else "."
        if opening[0] == "that is not" and determiner in ("a", ""):
            opening = ("this is", "das ist")
        if determiner == "this":
            phrase = noun_phrase(noun, "the", adjective)
        return finish(f"{opening[0]} {phrase.english}", f"{opening[1]} {phrase.case('nominative')}", mark)
    if determiner in ("a", ""):
        phrase = noun_phrase(noun, "the", adjective)
    tense = chance.pick(("present", "present", "past"))
    return say(statement(Clause(phrase, build.BE, (predicate(other),), tense)))


def plural(chance: Chance) -> Pair:
    """Three old books are expensive. -> Drei alte Bücher sind teuer."""
    kind = chance.number(1, 3)
    if kind == 1:
        people = [noun for noun in choices.PEOPLE if noun.countable]
        subject = choices.some_phrase(chance, chance.pick(people), described=0.4, plural=1)
        return say(statement(tenses.in_any_tense(chance, build.anything(chance, subject))))
    if kind == 2:
        noun = chance.pick([noun for noun in DESCRIBABLE if noun.countable])
        adjective, other = two_adjectives(chance, noun)
        subject = noun_phrase(noun, choices.plural_determiner(chance, noun) or "many", adjective, plural=True)
        return say(statement(Clause(subject, build.BE, (predicate(other),))))
    verb = chance.pick(SIMPLY_WILLED)
    nouns = [noun for noun in nouns_of(*verb.classes) if noun.countable]
    things = choices.some_phrase(chance, chance.pick(nouns), described=0.5, plural=1) if nouns else pronoun("they")
    clause = Clause(choices.someone(chance), verb, (object_part(verb, things),))
    return say(statement(tenses.in_any_tense(chance, clause)))


def possessive(chance: Chance) -> Pair:
    """She visits her brother. -> Sie besucht ihren Bruder."""
    owners = {"1s": "my", "2s": "your", "1p": "our", "3p": "their"}
    subject = choices.someone(chance, pronouns=0.5)
    owner = owners.get(subject.person) or {"masculine": "his", "feminine": "her"}.get(subject.gender, "my")
    verb = chance.pick(
        tuple(verb for verb in SIMPLY_WILLED if {"ware", "person", "clothing", "lent", "animal"} & set(verb.classes))
    )
    nouns = [
        noun for noun in nouns_of(*verb.classes, "kin") if {"ware", "kin", "clothing", "animal"} & set(noun.classes)
    ]
    fitting = [noun for noun in nouns if "kin" not in noun.classes or "person" in verb.classes]
    noun = chance.pick(fitting)
    thing = noun_phrase(
        noun, owner, choices.adjective_for(chance, noun, 0.4), plural=noun.countable and chance.happens(0.25)
    )
    clause = Clause(subject, verb, (object_part(verb, thing),))
    return say(statement(tenses.in_any_tense(chance, clause)))


def comparison(chance: Chance) -> Pair:
    """The train is faster than the bus. -> Der Zug ist schneller als der Bus."""
    adjective = chance.pick([adjective for adjective in ADJECTIVE.values() if adjective.comparative])
    group = chance.pick([name for name in adjective.classes if len(nouns_of(name)) > 1])
    noun, other = chance.shuffled(nouns_of(group))[:2]
    if chance.happens(0.25) and not {"mass", "kin"} & set(noun.classes):
        return graded_phrase(chance, noun, adjective)
    is_plural = noun.countable and other.countable and chance.happens(0.2)
    subject = compared(chance, noun, adjective, plural=is_plural)
    than = compared(chance, other, adjective, plural=is_plural)
    if group == "person" and chance.happens(0.2):
        subject = choices.a_name(chance)
    elif group == "person" and chance.happens(0.25):
        than = pronoun(chance.pick(("I", "you", "he", "she")))
    degree = Part(
        f"{adjective.comparative} than {than.english_object}",
        f"{adjective.german_comparative} als {than.case('nominative')}",
        "predicate",
    )
    if chance.happens(0.3):
        degree = Part(
            f"as {adjective.english} as {than.english_object}",
            f"so {adjective.german} wie {than.case('nominative')}",
            "predicate",
        )
    tense, negated = chance.pick(("present", "past")), chance.happens(0.25)
    return say(statement(Clause(subject, build.BE, (degree,), tense, negated=negated)))


def compared(chance: Chance, noun: Noun, adjective: Adjective, *, plural: bool) -> NounPhrase:
    """One side of the comparison, perhaps described, but not by the adjective that compares."""
    determiner = chance.pick(choices.OWNERS) if "kin" in noun.classes else "the"
    description = choices.adjective_for(chance, noun, 0.35)
    return noun_phrase(noun, determiner, None if description == adjective else description, plural=plural)


def graded_phrase(chance: Chance, noun: Noun, adjective: Adjective) -> Pair:
    """I need a bigger table; this is the oldest house."""
    higher = replace(adjective, english=adjective.comparative, german=adjective.german_comparative)
    highest = replace(adjective, english=adjective.superlative, german=adjective.german_superlative)
    if chance.happens(0.5):
        opening = chance.pick((("this is", "das ist"), ("that was", "das war")))
        phrase = noun_phrase(noun, "the", highest)
        return finish(f"{opening[0]} {phrase.english}", f"{opening[1]} {phrase.case('nominative')}")
    verb = build.TRANSITIVE[chance.pick((5, 6, 7))]
    phrase = noun_phrase(noun, "a", higher)
    subject = choices.someone(chance)
    return say(statement(Clause(subject, verb, (object_part(verb, phrase),))))
