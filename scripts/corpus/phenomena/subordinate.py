"""Clauses in clauses, with the verb last: reasons, conditions, reports and relative clauses."""

from corpus import words
from corpus.clauses import Clause, acting, being
from corpus.draw import STRANGERS, Draw
from corpus.phenomena.nouns import FOR, WITH, predicate
from corpus.phrases import PRONOUNS, NounPhrase, Part, noun_phrase
from corpus.text import Bilingual, Pair, both, phrases
from corpus.words import EVERYDAY, NOUN, OTHER, TRANSITIVE, VERB, WILLED, nouns_of, verbs_of

REASONS = phrases("reason")
SHARED = tuple(v for v in verbs_of("intransitive") if v.name in ("work", "dance", "study", "go out", "go shopping"))
WITH_PERSON = tuple(v for v in verbs_of("transitive", "dative") if v.takes_any("person") and not v.tail)


def under(conjunction: Pair, clause: Clause) -> Pair:
    """Subordinate clause: "because it rains", "weil es regnet"."""
    return both("{} {} | {} {}", conjunction, clause.final())


def circumstance(draw: Draw, subject: NounPhrase) -> Clause:
    """A likely reason or occasion of what the subject does: the weather, a need, a mood, an action."""
    kind = draw.number(1, 6)
    if kind == 1:
        weather = draw.pick(("", "temperature", "weather"))
        it = noun_phrase(NOUN["weather"]) if weather == "weather" else PRONOUNS["it"]
        rains = Clause(it, OTHER["rain"], tense="progressive")
        return being(it, draw.listed(weather, "predicate")) if weather else rains
    if kind == 2:
        return Clause(subject, words.HAVE, (draw.listed("possession", "accusative"),))
    if kind == 4:
        action = draw.action(subject, among=WILLED, described=0.2)
        return action.with_modal(draw.pick(("want to", "must", "can")))
    if kind == 5:
        return draw.in_past(draw.action(subject, among=EVERYDAY, described=0.2), timed=0.2)
    return draw.state(subject) if kind == 3 else draw.activity(subject)


def main_clause(draw: Draw, subject: NounPhrase, why: Clause) -> Clause:
    """Something to do under the circumstances; under some, one stays at home."""
    if why.verb.english in ("be", "have", "rain") and draw.happens(0.25):
        return Clause(subject, words.POSITION["stay"], (Part("at home", "zu Hause", "location"),))
    return draw.perhaps_past(draw.anything(subject), 0.3, timed=0.2)


def verb_final(draw: Draw) -> Bilingual:
    """She stays at home because she is ill. -> Sie bleibt zu Hause, weil sie krank ist."""
    subject = draw.someone()
    if not draw.happens(0.45):
        why = circumstance(draw, subject.as_pronoun())
        main = main_clause(draw, subject, why)
        return both("{} {} | {}, {}", main, under(draw.pick(REASONS), why))
    saying, conjunction = draw.pick(phrases("saying"))
    name, word = saying.split()
    verb = words.KNOW_THAT if name == "know" else OTHER.get(name) or VERB[name]
    main = Clause(subject, verb, negation="nicht" if saying == "know whether" else "")
    said = draw.in_any_tense(draw.anything(draw.someone()))
    said = said if draw.happens(0.75) else circumstance(draw, draw.someone())
    return both("{} {} | {}, {}", main, under(Pair(word, conjunction), said))


def subordinate_clause(draw: Draw) -> Bilingual:
    """If it is cold, we stay at home. -> Wenn es kalt ist, bleiben wir zu Hause."""
    subject = draw.someone()
    if draw.happens(0.25):
        states = [draw.state(subject), being(subject, draw.location())]
        if subject.person in ("1s", "2s", "3s"):
            states.append(being(subject, Part("a child", "ein Kind", "predicate")))
        main = draw.in_past(draw.action(subject.as_pronoun(), among=EVERYDAY, described=0.2), timed=0)
        when = draw.pick(states).in_past().final("when {} | als {}")
        if main.tense != "past" or main.verb.is_any("ambiguous_past"):
            main = draw.state(main.subject).in_past()
        return main.after(when)
    conjunction = draw.pick(phrases("occasion") + REASONS[1:])
    why, word = circumstance(draw, subject), conjunction.english
    if word in ("before", "as soon as"):
        why = draw.action(subject, among=WILLED)
    elif word == "while":
        why = draw.activity(subject)
    main = main_clause(draw, subject.as_pronoun() if why.subject == subject else subject, why)
    if word == "while":
        main = draw.action(draw.someone_else(subject))
    if conjunction not in REASONS:  # "if it rains, he worked yesterday" makes no sense
        main = main.in_tense("present").without(lambda part: part.slot == "time")
    return main.after(under(conjunction, why))


def relative_clause(draw: Draw) -> Bilingual:
    """The man who reads the book is nice. -> Der Mann, der das Buch liest, ist nett."""
    if draw.happens(0.5):
        noun = draw.pick(STRANGERS)
        verbs = draw.shuffled([verb for verb in TRANSITIVE if verb.takes_any("person")])
        head = draw.described(noun, "the", 0.2, plural=draw.happens(0.15))
        relative = about_person(draw, head)
    else:
        noun = draw.pick(nouns_of("ware", "text", "clothing", "dish"))
        head = draw.described(noun, "the", 0.2, plural=draw.happens(0.2))
        verbs = draw.shuffled([verb for verb in verbs_of("transitive", "separable") if verb.takes(noun)])
        clause = Clause(draw.someone(), draw.pick([verb for verb in verbs[1:] if not verb.tail]))
        relative = under(head.relative("that").case("accusative"), draw.perhaps_past(clause, 0.7))
    whole = head.within("{} {} | {}, {},", relative)
    if draw.happens(0.5):
        return being(whole, predicate(draw.adjective_for(noun)))
    main = acting(draw.someone(), verbs[0], whole)
    if not main.verb.is_any("no_past", "ambiguous_past") and draw.happens(0.3):
        main = main.in_past()
    # The comma that closes the relative clause falls together with the full stop or another comma
    return Pair(main.english, main.german.removesuffix(",").replace(",,", ","))


def about_person(draw: Draw, head: NounPhrase) -> Pair:
    """A relative clause with the person as subject, as dative object, or after a preposition."""
    kind = draw.number(1, 4)
    if kind <= 2:
        return draw.perhaps_past(draw.anything(head.relative("who")), 0.3, timed=0.3).final()
    subject, whom = draw.someone(), head.relative("whom")
    if kind == 3:
        clause = draw.perhaps_past(Clause(subject, draw.pick(WITH_PERSON)), 0.4, timed=0.3)
        return under(whom.case(clause.verb.frame), clause)
    preposition = draw.pick((WITH, FOR))
    verb = draw.pick(SHARED) if preposition == WITH else VERB["work"]
    return under(whom.after(preposition, "dative" if preposition == WITH else "accusative"), Clause(subject, verb))
