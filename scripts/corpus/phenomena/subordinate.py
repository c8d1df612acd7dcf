"""Clauses in clauses, with the verb last."""

from dataclasses import replace

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import (
    Clause,
    Pair,
    english_words,
    finish,
    german_main,
    subordinate,
)  # fmt: skip
from corpus.nouns import NOUN
from corpus.phenomena.verbs import EVERYDAY, WILLED
from corpus.phrases import NounPhrase, Part, noun_phrase, pronoun

REASONS = (("because", "weil"), ("because", "weil"), ("although", "obwohl"))
TIMES = (
    ("when", "wenn"),
    ("before", "bevor"),
    ("as soon as", "sobald"),
    ("if", "wenn"),
    ("while", "während"),
)
SAYING = (
    ("know", "dass", "that"), ("believe", "dass", "that"), ("hope", "dass", "that"), ("say", "dass", "that"),
    ("know", "ob", "whether"), ("ask", "ob", "whether"),
)  # fmt: skip


def weather(chance: Chance) -> Clause:
    """It is cold; the weather is good; it is raining."""
    it = pronoun("it")
    kind = chance.number(1, 3)
    if kind == 1:
        return Clause(it, build.OTHER["rain"], (), "progressive")
    if kind == 2:
        return Clause(
            it,
            build.BE,
            (Part(*chance.pick((("cold", "kalt"), ("warm", "warm"), ("hot", "heiß"))), "predicate"),),
        )
    return Clause(
        noun_phrase(NOUN["weather"]),
        build.BE,
        (Part(*chance.pick((("good", "gut"), ("bad", "schlecht"))), "predicate"),),
    )


def lacking(chance: Chance, subject: NounPhrase) -> Clause:
    """Someone has no time, is hungry, ..."""
    english, german_text = chance.pick(
        (("no time", "keine Zeit"), ("no money", "kein Geld"), ("a lot of time", "viel Zeit"))
    )
    return Clause(subject, build.HAVE, (Part(english, german_text, "accusative"),))


def circumstance(chance: Chance, subject: NounPhrase) -> Clause:
    """What may be the reason or the occasion of what the subject does."""
    kind = chance.number(1, 6)
    if kind == 1:
        return weather(chance)
    if kind == 2:
        return lacking(chance, subject)
    if kind == 3:
        return build.state(chance, subject)
    if kind == 4:
        return replace(
            build.action(chance, subject, among=WILLED, described=0.2),
            modal=chance.pick(("want to", "must", "can")),
        )
    if kind == 5:
        return tenses.in_past(chance, build.action(chance, subject, among=EVERYDAY, described=0.2), timed=0.2)
    return build.activity(chance, subject)


def verb_final(chance: Chance) -> Pair:
    """She stays at home because she is ill. -> Sie bleibt zu Hause, weil sie krank ist."""
    subject = choices.someone(chance)
    if chance.happens(0.45):
        return reported(chance, subject)
    why = circumstance(chance, build.pronoun_for(subject))
    main = main_clause(chance, subject, why)
    side = subordinate(chance.pick(REASONS), why)
    return finish(f"{english_words(main)} {side.english}", f"{german_main(main)}, {side.german}")


def main_clause(chance: Chance, subject: NounPhrase, why: Clause) -> Clause:
    """What somebody does under the circumstances; for some, one stays at home."""
    if why.verb.english in ("be", "have", "rain") and chance.happens(0.25):
        return Clause(subject, build.POSITION["stay"], (Part("at home", "zu Hause", "place"),))
    clause = build.anything(chance, subject)
    return tenses.in_past(chance, clause, timed=0.2) if chance.happens(0.3) else clause


def reported(chance: Chance, subject: NounPhrase) -> Pair:
    """I know that he is coming; she asks whether it is raining."""
    english, conjunction, shown = chance.pick(SAYING)
    verb = (
        build.KNOW_THAT
        if english == "know"
        else build.OTHER.get(english) or next(v for v in build.TRANSITIVE if v.name == english)
    )
    main = Clause(subject, verb, negated=shown == "whether" and english == "know")
    said = tenses.in_any_tense(chance, build.anything(chance, choices.someone(chance)))
    said = said if chance.happens(0.75) else circumstance(chance, choices.someone(chance))
    side = subordinate((shown, conjunction), said)
    return finish(f"{english_words(main)} {side.english}", f"{german_main(main)}, {side.german}")


def subordinate_clause(chance: Chance) -> Pair:
    """If it is cold, we stay at home. -> Wenn es kalt ist, bleiben wir zu Hause."""
    subject = choices.someone(chance)
    if chance.happens(0.25):
        return when_past(chance, subject)
    conjunction = chance.pick(TIMES + REASONS[1:])
    why = circumstance(chance, subject)
    if conjunction[0] in ("before", "as soon as"):
        why = build.action(chance, subject, among=WILLED)
    elif conjunction[0] == "while":
        why = build.activity(chance, subject)
    main = main_clause(chance, build.pronoun_for(subject) if why.subject == subject else subject, why)
    if conjunction[0] == "while":
        main = build.action(
            chance,
            build.until(lambda: choices.someone(chance), lambda other: other.english != subject.english),
        )
    if conjunction[0] in ("before", "as soon as", "while", "if", "when"):
        main = replace(main, tense="present", parts=tuple(part for part in main.parts if part.slot != "time"))
    side = subordinate(conjunction, why)
    return finish(f"{side.english}, {english_words(main)}", german_main(main, front=f"{side.german},"))


def when_past(chance: Chance, subject: NounPhrase) -> Pair:
    """When I was ill, I read a book. -> Als ich krank war, habe ich ein Buch gelesen."""
    states = [
        replace(build.state(chance, subject), tense="past"),
        Clause(subject, build.BE, (choices.location(chance),), "past"),
    ]
    if subject.person in ("1s", "2s", "3s"):
        child = Part("a child", "ein Kind", "predicate")
        states.append(Clause(subject, build.BE, (child,), "past"))
    doing = build.action(chance, build.pronoun_for(subject), among=EVERYDAY, described=0.2)
    main = tenses.in_past(chance, doing, timed=0)
    side = subordinate(("when", "als"), chance.pick(states))
    if main.tense != "past" or doing.verb.english in build.AMBIGUOUS_PAST:
        main = replace(build.state(chance, doing.subject), tense="past")
    return finish(f"{side.english}, {english_words(main)}", german_main(main, front=f"{side.german},"))
