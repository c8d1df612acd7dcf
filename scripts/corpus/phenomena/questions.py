"""Questions, with and without a question word."""

from dataclasses import replace

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import (
    Clause,
    Pair,
    english_words,
    finish,
    german_main,
    german_question,
    question,
    say,
)  # fmt: skip
from corpus.nouns import nouns_of
from corpus.phenomena.verbs import SIMPLY_WILLED, WILLED
from corpus.phrases import NounPhrase, noun_phrase
from corpus.verbs import Verb


def ask(chance: Chance) -> Pair:
    """Where did you buy the book? -> Wo hast du das Buch gekauft?"""
    kind = chance.number(1, 6)
    if kind == 1:
        return say(question(tenses.in_any_tense(chance, build.anything(chance, asked_about(chance)))), "?")
    if kind == 2:
        asked = build.action(chance, asked_about(chance), among=WILLED)
        return say(question(replace(asked, modal=chance.pick(("can", "want to", "may", "should")))), "?")
    if kind == 3:
        return ask_who(chance)
    if kind == 4:
        return ask_which(chance, chance.pick([verb for verb in SIMPLY_WILLED if verb.frame == "accusative"]))
    if kind == 5:
        return ask_where(chance)
    english, german_text = chance.pick((("why", "warum"), ("when", "wann"), ("how often", "wie oft")))
    clause = build.anything(chance, asked_about(chance))
    return asked_with(english, german_text, clause if english == "how often" else perhaps_past(chance, clause))


def asked_with(english: str, german_text: str, clause: Clause) -> Pair:
    """The clause as a question that opens with these words."""
    asked = english_words(clause, inverted=True)
    return finish(f"{english} {asked}", german_question(clause, german_text), "?")


def perhaps_past(chance: Chance, clause: Clause) -> Clause:
    past = clause.verb.name not in build.NOT_IN_PAST and chance.happens(0.5)
    return replace(clause, tense="past") if past else clause


def ask_where(chance: Chance) -> Pair:
    """Where does Anna dance? Without the place that answers it."""
    clause = build.activity(chance, asked_about(chance))
    if chance.happens(0.5):
        clause = build.action(chance, clause.subject, among=build.TRANSITIVE[:6])
    placeless = tuple(part for part in clause.parts if part.slot != "place")
    return asked_with("where", "wo", perhaps_past(chance, replace(clause, parts=placeless)))


def asked_about(chance: Chance) -> NounPhrase:
    return build.until(lambda: choices.someone(chance), lambda phrase: phrase.english != "I")


def ask_who(chance: Chance) -> Pair:
    """Who is the subject: Wer liest das Buch? Who is the object: Wen besuchst du? Wem hilfst du?"""
    if chance.happens(0.5):
        who = NounPhrase("who", "whom", ("wer", "wen", "wem", "wessen"), "masculine", "3s")
        clause = tenses.in_any_tense(chance, build.anything(chance, who))
        return finish(english_words(clause), german_main(clause), "?")
    verb = chance.pick([v for v in build.TRANSITIVE + build.DATIVE if "person" in v.classes and not v.tail])
    word = "wen" if verb.frame == "accusative" else "wem"
    clause = tenses.in_any_tense(chance, Clause(asked_about(chance), verb))
    return finish(f"whom {english_words(clause, inverted=True)}", german_question(clause, word), "?")


def ask_which(chance: Chance, verb: Verb) -> Pair:
    """Which book do you read? How many books? What?"""
    nouns = [noun for noun in nouns_of(*verb.classes) if not {"kin", "mass"} & set(noun.classes)]
    if not nouns:
        return ask(chance)
    noun, kind = chance.pick(nouns), chance.number(1, 3)
    clause = tenses.in_any_tense(chance, Clause(asked_about(chance), verb))
    if kind == 1:
        english, german_text = "what", "was"
        if "person" in verb.classes:
            return ask_who(chance)
    elif kind == 2 and noun.countable:
        english, german_text = f"how many {noun.english_plural}", f"wie viele {noun.german_plural}"
    else:
        which = noun_phrase(noun, "which")
        english, german_text = which.english, which.case("accusative")
    return finish(f"{english} {english_words(clause, inverted=True)}", german_question(clause, german_text), "?")
