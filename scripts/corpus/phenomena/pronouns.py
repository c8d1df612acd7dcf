"""Pronouns that take up a thing: English it, German er, sie or es."""

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import (
    Clause,
    Pair,
    english_words,
    finish,
    german_final,
    german_main,
    statement,
)
from corpus.nouns import Noun, nouns_of
from corpus.phenomena.agreement import predicate, two_adjectives
from corpus.phenomena.cases import OWNED, spot
from corpus.phrases import NounPhrase, it_for, noun_phrase, object_part

THINGS = nouns_of("ware", "opening", "vehicle", "text", "dish", "home", "sight", "luggage")
FINDABLE = nouns_of("flat", "dish", "luggage", "clothing")


def pronoun_agreement(chance: Chance) -> Pair:
    """The lamp is old, but it is beautiful. -> Die Lampe ist alt, aber sie ist schön."""
    kind = chance.number(1, 5)
    noun = chance.pick((nouns_of("machine"), THINGS, FINDABLE, OWNED, nouns_of("ware"))[kind - 1])
    first, second = two_adjectives(chance, noun)
    is_plural = chance.happens(0.2)
    determiner = chance.pick(("the", "the", *choices.OWNERS)) if {"ware", "luggage"} & set(noun.classes) else "the"
    thing = noun_phrase(noun, determiner, plural=is_plural)
    it = it_for(thing)
    opening = statement(Clause(thing, build.BE, (predicate(first),)))
    if kind == 1:
        still, noch = chance.pick((("it still works", "noch"), ("it no longer works", "nicht mehr")))
        if is_plural:
            still = still.replace("it", "they").replace("works", "work")
        works = "funktionieren" if is_plural else "funktioniert"
        return finish(f"{opening.english}, but {still}", f"{opening.german}, aber {it.forms[0]} {works} {noch}")
    if kind == 2:
        contrast = statement(Clause(it, build.BE, (predicate(second),)))
        return finish(f"{opening.english}, but {contrast.english}", f"{opening.german}, aber {contrast.german}")
    return taken_up(chance, noun, thing, it, kind)


def taken_up(chance: Chance, noun: Noun, thing: NounPhrase, it: NounPhrase, kind: int) -> Pair:
    """Two short sentences, or a clause and its reason, where a pronoun stands for the thing."""
    verbs = [verb for verb in build.TRANSITIVE + build.SEPARABLE if set(verb.classes) & set(noun.classes)]
    usable = [verb for verb in verbs if verb.name not in (*build.NOT_IN_PAST, *build.AMBIGUOUS_PAST)]
    verb = chance.pick(usable)
    subject = choices.someone(chance)
    if kind == 3:
        be, ist = ("are", "sind") if thing.person == "3p" else ("is", "ist")
        where, wo = spot(chance, "dative")
        english = f"where {be} {thing.english}? {it.english.capitalize()} {be} {where}"
        german_it = it.forms[0].capitalize()
        return finish(english, f"wo {ist} {thing.forms[0]}? {german_it} {ist} {wo}")
    done = Clause(subject, verb, (object_part(verb, it),), "past")
    if kind == 4:
        be, what = ("these are", "das sind") if thing.person == "3p" else ("this is", "das ist")
        done = done.with_part(choices.past_time(chance)) if chance.happens(0.6) else done
        second = statement(done)
        english = f"{be} {thing.english}. {second.english[0].upper()}{second.english[1:]}"
        return finish(english, f"{what} {thing.forms[0]}. {second.german[0].upper()}{second.german[1:]}")
    need = next(verb for verb in build.TRANSITIVE if verb.name == "need")
    verb = chance.pick([verb for verb in build.TRANSITIVE if verb.name in ("buy", "look for")])
    main = tenses.in_past(chance, Clause(subject, verb, (object_part(verb, thing),)), timed=0.3)
    reason = Clause(build.pronoun_for(subject), need, (object_part(need, it),))
    return finish(
        f"{english_words(main)} because {english_words(reason)}",
        f"{german_main(main)}, weil {german_final(reason)}",
    )
