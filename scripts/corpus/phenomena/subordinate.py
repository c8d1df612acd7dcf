"""Clauses in clauses, with the verb last: reasons, conditions, reports and relative clauses."""

from corpus import build, choices, german, tenses
from corpus.chance import Chance
from corpus.clauses import Clause
from corpus.phenomena.agreement import predicate
from corpus.phenomena.cases import FOR, WITH
from corpus.phrases import NounPhrase, Part, noun_phrase, pronoun, pronoun_for
from corpus.tables import phrases
from corpus.text import Pair, both, say, sentence
from corpus.verbs import (
    DATIVE,
    EVERYDAY,
    HAVE,
    INTRANSITIVE,
    KNOW_THAT,
    OTHER,
    POSITION,
    SEPARABLE,
    TRANSITIVE,
    VERB,
    WILLED,
)
from corpus.words import NOUN, Verb, nouns_of

REASONS = phrases("reason")
SHARED = tuple(verb for verb in INTRANSITIVE if verb.name in ("work", "dance", "study", "go out", "go shopping"))


def under(conjunction: Pair, clause: Clause) -> Pair:
    """Subordinate clause: "because it rains", "weil es regnet"."""
    return both("{} {} | {} {}", conjunction, clause.final())


def weather(chance: Chance) -> Clause:
    """It is cold; the weather is good; it is raining."""
    kind = chance.number(1, 3)
    if kind == 1:
        return Clause(pronoun("it"), OTHER["rain"], tense="progressive")
    if kind == 2:
        return build.being(pronoun("it"), choices.listed(chance, "temperature", "predicate"))
    return build.being(noun_phrase(NOUN["weather"]), choices.listed(chance, "weather", "predicate"))


def circumstance(chance: Chance, subject: NounPhrase) -> Clause:
    """A likely reason or occasion of what the subject does."""
    return chance.recipe(
        (1, lambda chance, _: weather(chance)),
        (1, lambda chance, who: Clause(who, HAVE, (choices.listed(chance, "possession", "accusative"),))),
        (1, build.state),
        (1, intention),
        (1, lambda chance, who: tenses.in_past(chance, everyday_action(chance, who), timed=0.2)),
        (1, build.activity),
    )(chance, subject)


def intention(chance: Chance, subject: NounPhrase) -> Clause:
    action = build.action(chance, subject, among=WILLED, described=0.2)
    return action.with_modal(chance.pick(("want to", "must", "can")))


def everyday_action(chance: Chance, subject: NounPhrase) -> Clause:
    return build.action(chance, subject, among=EVERYDAY, described=0.2)


def main_clause(chance: Chance, subject: NounPhrase, why: Clause) -> Clause:
    """Something to do under the circumstances; under some, one stays at home."""
    if why.verb.english in ("be", "have", "rain") and chance.happens(0.25):
        return Clause(subject, POSITION["stay"], (Part("at home", "zu Hause", "place"),))
    return tenses.perhaps_past(chance, build.anything(chance, subject), 0.3, timed=0.2)


def verb_final(chance: Chance) -> Pair:
    """She stays at home because she is ill. -> Sie bleibt zu Hause, weil sie krank ist."""
    subject = choices.someone(chance)
    if chance.happens(0.45):
        return reported(chance, subject)
    why = circumstance(chance, pronoun_for(subject))
    main = main_clause(chance, subject, why)
    return sentence("{} {} | {}, {}", main, under(chance.pick(REASONS), why))


def reported(chance: Chance, subject: NounPhrase) -> Pair:
    """I know that he is coming; she asks whether it is raining."""
    english, conjunction = chance.pick(phrases("saying"))
    name, shown = english.split()
    verb = KNOW_THAT if name == "know" else OTHER.get(name) or VERB[name]
    main = Clause(subject, verb, negation="nicht" if english == "know whether" else "")
    said = tenses.in_any_tense(chance, build.anything(chance, choices.someone(chance)))
    said = said if chance.happens(0.75) else circumstance(chance, choices.someone(chance))
    return sentence("{} {} | {}, {}", main, under(Pair(shown, conjunction), said))


def subordinate_clause(chance: Chance) -> Pair:
    """If it is cold, we stay at home. -> Wenn es kalt ist, bleiben wir zu Hause."""
    subject = choices.someone(chance)
    if chance.happens(0.25):
        return when_past(chance, subject)
    conjunction = chance.pick(phrases("occasion") + REASONS[1:])
    word = conjunction.english
    why = circumstance(chance, subject)
    if word in ("before", "as soon as"):
        why = build.action(chance, subject, among=WILLED)
    elif word == "while":
        why = build.activity(chance, subject)
    main = main_clause(chance, pronoun_for(subject) if why.subject == subject else subject, why)
    if word == "while":
        main = build.action(chance, choices.someone_else(chance, subject))
    if conjunction not in REASONS:
        main = main.in_tense("present").without("time")
    return say(main.after(under(conjunction, why)))


def when_past(chance: Chance, subject: NounPhrase) -> Pair:
    """When I was ill, I read a book. -> Als ich krank war, habe ich ein Buch gelesen."""
    states = [build.state(chance, subject), build.being(subject, choices.location(chance))]
    if subject.person in ("1s", "2s", "3s"):
        states.append(build.being(subject, Part("a child", "ein Kind", "predicate")))
    main = tenses.in_past(chance, everyday_action(chance, pronoun_for(subject)), timed=0)
    when = chance.pick(states).in_past().final("when {} | als {}")
    if main.tense != "past" or main.verb.is_any("ambiguous_past"):
        main = build.state(chance, main.subject).in_past()
    return say(main.after(when))


def relative_clause(chance: Chance) -> Pair:
    """The man who reads the book is nice. -> Der Mann, der das Buch liest, ist nett."""
    is_person = chance.happens(0.5)
    noun = chance.pick(choices.STRANGERS if is_person else nouns_of("ware", "text", "clothing", "dish"))
    if is_person:
        verbs = chance.shuffled([verb for verb in TRANSITIVE if "person" in verb.classes])
        head = choices.described(chance, noun, "the", 0.2, plural=chance.happens(0.15))
        relative = about_person(chance, head)
    else:
        head = choices.described(chance, noun, "the", 0.2, plural=chance.happens(0.2))
        verbs = chance.shuffled([verb for verb in TRANSITIVE + SEPARABLE if verb.takes(noun)])
        relative = about_thing(chance, head, verbs[1:])
    whole = head.within("{} {} | {}, {},", relative)
    if chance.happens(0.5):
        return say(build.being(whole, predicate(choices.suitable(chance, noun))))
    main = build.acting(choices.someone(chance), verbs[0], whole)
    if not main.verb.is_any("no_past", "ambiguous_past") and chance.happens(0.3):
        main = main.in_past()
    return say(Pair(main.english, main.german.removesuffix(",").replace(",,", ",")))


def relative_pronoun(head: NounPhrase, english: str) -> NounPhrase:
    return NounPhrase(english, english, german.RELATIVE[head.gender], head.gender, head.person)


def about_person(chance: Chance, head: NounPhrase) -> Pair:
    """A relative clause with the person as subject, as dative object, or after a preposition."""
    kind = chance.number(1, 4)
    if kind <= 2:
        clause = build.anything(chance, relative_pronoun(head, "who"))
        return tenses.perhaps_past(chance, clause, 0.3, timed=0.3).final()
    subject, whom = choices.someone(chance), relative_pronoun(head, "whom")
    if kind == 3:
        others = [verb for verb in TRANSITIVE + DATIVE if "person" in verb.classes and not verb.tail]
        clause = Clause(subject, chance.pick(others))
        clause = tenses.perhaps_past(chance, clause, 0.4, timed=0.3)
        return under(whom.as_object(clause.verb.frame), clause)
    preposition, case = chance.pick((WITH, FOR))
    clause = Clause(subject, chance.pick(SHARED) if preposition.english == "with" else VERB["work"])
    return under(whom.after(preposition, case), clause)


def about_thing(chance: Chance, head: NounPhrase, verbs: list[Verb]) -> Pair:
    """A relative clause with the thing as accusative object: "that I bought yesterday"."""
    clause = Clause(choices.someone(chance), chance.pick([verb for verb in verbs if not verb.tail]))
    clause = tenses.perhaps_past(chance, clause, 0.7, timed=0.6)
    return under(relative_pronoun(head, "that").as_object("accusative"), clause)


PHENOMENA = (verb_final, subordinate_clause, relative_clause)
