"""Clauses joined or denied, and what the two languages say differently."""

from dataclasses import replace

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import (
    Clause,
    Pair,
    english_words,
    finish,
    fronted,
    german_main,
    german_question,
    question,
    say,
    statement,
)  # fmt: skip
from corpus.nouns import NOUN, nouns_of
from corpus.phenomena.agreement import DESCRIBABLE, predicate, suitable
from corpus.phenomena.subordinate import circumstance
from corpus.phenomena.verbs import WILLED
from corpus.phrases import NounPhrase, Part, noun_phrase, pronoun
from corpus.words import LANGUAGES, SURNAMES, TITLES, read_pairs


def conjunction(chance: Chance) -> Pair:
    """Peter reads a book, and Anna sings a song. -> Peter liest ein Buch, und Anna singt ein Lied."""
    kind, subject = chance.number(1, 5), choices.someone(chance)
    if kind == 4:
        return therefore(chance, subject)
    if kind == 5:
        return both_objects(chance, subject)
    word, german_word = (("and", "und"), ("but", "aber"), ("or", "oder"))[kind - 1]
    other = build.until(lambda: choices.someone(chance), lambda phrase: phrase.english != subject.english)
    first = build.anything(chance, subject)
    second = build.anything(chance, build.pronoun_for(subject) if word == "or" else other)
    if word != "or" and chance.happens(0.3):
        first = tenses.in_past(chance, first, timed=0.2)
    return finish(
        f"{english_words(first)}, {word} {english_words(second)}",
        f"{german_main(first)}, {german_word} {german_main(second)}",
    )


def therefore(chance: Chance, subject: NounPhrase) -> Pair:
    """It is cold, so she stays at home. After deshalb the verb comes first."""
    cause = circumstance(chance, subject)
    feels = chance.happens(0.3) and cause.verb is not build.BE
    outcome = (build.state if feels else build.anything)(chance, build.pronoun_for(subject))
    return finish(
        f"{english_words(cause)}, so {english_words(outcome)}",
        f"{german_main(cause)}, {german_main(outcome, front='deshalb')}",
    )


def both_objects(chance: Chance, subject: NounPhrase) -> Pair:
    """She buys a book and two pears."""
    first, second = chance.shuffled(nouns_of("food", "drink", "ware"))[:2]
    one, two = (choices.some_phrase(chance, noun, described=0.2) for noun in (first, second))
    verb = build.SEPARABLE[6] if "drink" in first.classes + second.classes else build.TRANSITIVE[2]
    german_text = f"{one.case('accusative')} und {two.case('accusative')}"
    both = Part(f"{one.english} and {two.english}", german_text, "accusative")
    return say(statement(tenses.in_any_tense(chance, Clause(subject, verb, (both,)))))


def negation(chance: Chance) -> Pair:
    """He does not have a car. -> Er hat kein Auto.   I do not read the book. -> Ich lese das Buch nicht."""
    subject, kind = choices.someone(chance), chance.number(1, 4)
    if kind == 1:
        return without_any(chance, subject)
    if kind == 2:
        return not_so(chance)
    clause = build.anything(chance, subject)
    if not build.is_definite(clause):
        clause = (build.journey if chance.happens(0.4) else build.state)(chance, subject)
    shown = tenses.in_any_tense(chance, clause)
    tense = "present" if shown.tense == "progressive" else shown.tense
    parts = tuple(part for part in shown.parts if not is_repeated(part))
    shown = replace(shown, tense=tense, parts=parts, negated=True)
    if kind == 4 and tense == "present" and shown.verb.name not in (*build.STATES, "be"):
        return say(must_not(replace(shown, modal=chance.pick(("can", "want to", "have to", "must")))))
    return say(statement(shown))


def without_any(chance: Chance, subject: NounPhrase) -> Pair:
    """An indefinite object: not a car, not any cars; German kein."""
    bought = [verb for verb in build.TRANSITIVE if {"ware", "text", "food", "drink"} & set(verb.classes)]
    verb = chance.pick((build.HAVE, *bought))
    noun = chance.pick(nouns_of(*[name for name in verb.classes if name not in ("person", "kin")]))
    plural = noun.countable and chance.happens(0.4)
    adjective = choices.adjective_for(chance, noun, 0.25)
    article = "a" if not plural and "mass" not in noun.classes else ""
    english = noun_phrase(noun, article, adjective, plural=plural).english
    none = noun_phrase(noun, "no", adjective, plural=plural).case("accusative")
    missing = Part(english if article else f"any {english}", none, "accusative")
    clause = Clause(subject, verb, (missing,), no_object=True)
    return say(statement(clause if verb is build.HAVE else tenses.in_any_tense(chance, clause)))


def not_so(chance: Chance) -> Pair:
    """The film was not good."""
    noun = chance.pick(DESCRIBABLE)
    phrase = noun_phrase(noun, chance.pick(choices.OWNERS) if "kin" in noun.classes else "the")
    tense, so = chance.pick(("present", "past")), predicate(suitable(chance, noun))
    return say(statement(Clause(phrase, build.BE, (so,), tense, negated=True)))


def is_repeated(part: Part) -> bool:
    """Adverbials that "not" would seem to deny: every week, often, soon."""
    return part.slot == "frequency" or part.english.startswith("every ") or part.english == "soon"


def must_not(clause: Clause) -> Pair:
    """English must not forbids: German darf nicht."""
    pair = statement(clause)
    if clause.modal == "must":
        return Pair(pair.english, german_main(replace(clause, modal="may")))
    return pair


def word_order(chance: Chance) -> Pair:
    """We travel to Rome by train next week. -> Wir reisen nächste Woche mit dem Zug nach Rom."""
    subject = choices.someone(chance)
    verb = chance.pick([verb for verb in build.MOTION if verb.english in ("drive", "travel", "come")])
    goal = choices.city_destination(chance) if verb.english == "travel" else choices.destination(chance, by_car=True)
    way = choices.means(chance, far=goal.english.removeprefix("to ").istitle())
    if chance.happens(0.3):
        companion = build.person_besides(chance, subject)
        way = Part(f"with {companion.english_object}", f"mit {companion.case('dative')}", "means")
    clause = tenses.in_any_tense(chance, Clause(subject, verb, (goal, way)))
    if clause.tense in ("present", "future") and chance.happens(0.3):
        clause = replace(clause, modal=chance.pick(("can", "want to", "must")), tense="present")
    time = tenses.time_of(clause)
    return say(fronted(clause, time) if time and chance.happens(0.3) else statement(clause))


def formal_address(chance: Chance) -> Pair:
    """Mrs. Weber, can you call me? -> Frau Weber, können Sie mich anrufen?"""
    title, german_title = chance.pick(TITLES)
    surname = chance.pick(SURNAMES)
    you = pronoun("you (formal)")
    kind = chance.number(1, 3)
    clause = build.action(chance, you, among=tuple(verb for verb in WILLED if not verb.reflexive))
    while any(part.english.startswith("your ") for part in clause.parts):
        clause = build.action(chance, you, among=WILLED)
    if kind == 1:
        polite = replace(clause, modal=chance.pick(("can", "would like to", "have to", "want to")))
        pair = question(polite)
        return finish(f"{title} {surname}, {pair.english}", f"{german_title} {surname}, {pair.german}", "?")
    if kind == 2:
        pair = question(tenses.in_any_tense(chance, clause))
        return finish(f"{title} {surname}, {pair.english}", f"{german_title} {surname}, {pair.german}", "?")
    asked = german_question(clause).split(" ")
    after = 2 + sum(part.slot == "pronoun" for part in clause.parts)
    request = " ".join([*asked[:after], "bitte", *asked[after:]])
    verb = clause.verb
    rest = english_words(clause).removeprefix(f"you {verb.english}").strip()
    return finish(f"{title} {surname}, please {verb.english} {rest}", f"{german_title} {surname}, {request}", "!")


DISLIKED = (*build.STATES, "lose", "find", "forget", "fall asleep", "wake up", "arrive", "hurry")


def idiom(chance: Chance) -> Pair:
    """She likes to read the newspaper. -> Sie liest gern die Zeitung.   I am hungry. -> Ich habe Hunger."""
    subject, kind = choices.someone(chance), chance.number(1, 5)
    if kind <= 2:
        clause = build.anything(chance, subject)
        if clause.verb.name in DISLIKED or clause.verb.frame == "dative":
            clause = build.activity(chance, subject)
        likes = english_words(Clause(subject, replace(clause.verb, english="like", tail="", particle=""), ()))
        english = f"{likes} to {clause.verb.english} {english_words(clause).removeprefix(third(clause)).strip()}"
        return finish(english.strip(), german_main(clause.with_part(Part("", "gern", "frequency"))))
    if kind == 3:
        english, german_text = chance.pick(
            (("hungry", "Hunger"), ("thirsty", "Durst"), ("afraid", "Angst"), ("in a hurry", "es eilig"))
        )
        tense = chance.pick(("present", "past"))
        shown = Clause(subject, build.BE, (Part(english, "", "predicate"),), tense)
        owned = [Part("", german_text, "accusative")]
        if german_text == "es eilig":
            owned = [Part("", "es", "pronoun"), Part("", "eilig", "predicate")]
        having = Clause(subject, build.HAVE, tuple(owned), tense)
        time = choices.past_time(chance) if tense == "past" and chance.happens(0.7) else None
        if time:
            shown, having = shown.with_part(time), having.with_part(time)
        return finish(english_words(shown), german_main(having))
    if kind == 4:
        return there_is(chance)
    english, german_text = chance.pick(read_pairs(LANGUAGES))
    verb = chance.pick([verb for verb in build.TRANSITIVE if verb.name in ("learn", "understand")])
    clause = Clause(subject, verb, (Part(english, german_text, "accusative"),))
    return say(statement(tenses.in_any_tense(chance, clause) if verb.name == "learn" else clause))


def third(clause: Clause) -> str:
    """What comes before the English objects of a present clause: "she reads"."""
    return english_words(replace(clause, parts=(), verb=replace(clause.verb, tail="", particle="")))


def there_is(chance: Chance) -> Pair:
    """There is a bakery in the village. -> Im Dorf gibt es eine Bäckerei."""
    where = choices.location(chance, NOUN[chance.pick(("village", "city"))])
    if chance.happens(0.5):
        where = choices.in_a_city(chance)
    noun = chance.pick(
        (*nouns_of("building"), *(NOUN[name] for name in ("park", "market", "lake", "forest", "street")))
    )
    adjective = choices.adjective_for(chance, noun, 0.5)
    plural = chance.happens(0.5)
    count = chance.pick(("many", "two", "three", "four", "no")) if plural else chance.pick(("a", "a", "no"))
    thing = noun_phrase(noun, count, adjective, plural=plural)
    return finish(
        f"there {'are' if plural else 'is'} {thing.english} {where.english}",
        f"{where.german} gibt es {thing.case('accusative')}",
    )
