"""Several clauses in one sentence: training lines where short, the `longer` part of the test where long."""

from dataclasses import replace

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import Clause, Pair, english_words, finish, fronted, german_final, german_main, statement
from corpus.phenomena.numbers import any_date
from corpus.phenomena.subordinate import REASONS, circumstance, main_clause
from corpus.phrases import NounPhrase, Part


def someone_else(chance: Chance, subject: NounPhrase) -> NounPhrase:
    return build.until(lambda: choices.someone(chance), lambda other: other.english != subject.english)


def placed(chance: Chance, clause: Clause) -> Clause:
    """Sometimes with a place, where the verb does not say one already."""
    slots = [part.slot for part in clause.parts]
    if chance.happens(0.3) and clause.verb in build.TRANSITIVE[:8] and "place" not in slots:
        return clause.with_part(choices.location(chance))
    return clause


def join(first: Pair, english: str, german: str, second: Pair) -> Pair:
    return Pair(f"{first.english}{english} {second.english}", f"{first.german}{german} {second.german}")


def conjunction(chance: Chance) -> Pair:
    """Three main clauses."""
    first = choices.someone(chance)
    second = someone_else(chance, first)
    third = someone_else(chance, second)
    clauses = [placed(chance, build.anything(chance, subject)) for subject in (first, second, third)]
    one, two, three = (statement(tenses.in_past(chance, c, timed=0.2) if chance.happens(0.3) else c) for c in clauses)
    pair = join(join(one, ", and", ", und", two), ", but", ", aber", three)
    return finish(pair.english, pair.german)


def verb_final(chance: Chance) -> Pair:
    """A reason, and then another main clause."""
    subject = choices.someone(chance)
    conjunction_en, conjunction_de = chance.pick(REASONS)
    reason = circumstance(chance, build.pronoun_for(subject))
    main = placed(chance, main_clause(chance, subject, reason))
    side = Pair(f"{conjunction_en} {english_words(reason)}", f"{conjunction_de} {german_final(reason)}")
    last = statement(placed(chance, build.anything(chance, someone_else(chance, subject))))
    pair = join(join(statement(main), "", ",", side), ", but", ", aber", last)
    return finish(pair.english, pair.german)


def subordinate_clause(chance: Chance) -> Pair:
    """A condition, a main clause, another main clause."""
    subject = choices.someone(chance)
    english, german = chance.pick((("if", "wenn"), ("because", "weil"), ("although", "obwohl")))
    why = circumstance(chance, subject)
    main = placed(chance, build.anything(chance, build.pronoun_for(subject)))
    last = statement(placed(chance, build.anything(chance, someone_else(chance, subject))))
    opening = Pair(
        f"{english} {english_words(why)}, {english_words(main)}",
        german_main(main, front=f"{german} {german_final(why)},"),
    )
    pair = join(opening, ", and", ", und", last)
    return finish(pair.english, pair.german)


def verb_second(chance: Chance) -> Pair:
    """Two fronted times, each before its verb."""
    first = tenses.in_past(chance, placed(chance, build.anything(chance)), timed=1)
    second = tenses.in_future(chance, placed(chance, build.anything(chance)))
    one, two = (front_time(clause) for clause in (first, second))
    pair = join(one, ", and", ", und", two)
    return finish(pair.english, pair.german)


def front_time(clause: Clause) -> Pair:
    time = tenses.time_of(clause)
    return fronted(clause, time) if time else statement(clause)


def date(chance: Chance) -> Pair:
    """Two dates."""
    clauses = []
    for _ in range(2):
        clause = build.journey(chance) if chance.happens(0.6) else build.action(chance, described=0.2)
        tense = "present" if clause.verb.name in build.NOT_IN_PAST else "future"
        clauses.append(replace(clause, tense=tense).with_part(Part(*any_date(chance), "time")))
    pair = join(statement(clauses[0]), ", and", ", und", front_time(clauses[1]))
    return finish(pair.english, pair.german)


def modal_verb(chance: Chance) -> Pair:
    """Two modals and a reason."""
    subject = choices.someone(chance)
    first, second = (
        replace(build.action(chance, who, among=build.willed()), modal=modal)
        for who, modal in (
            (subject, chance.pick(("want to", "must", "should"))),
            (someone_else(chance, subject), chance.pick(("can", "want to", "would like to"))),
        )
    )
    reason = circumstance(chance, build.pronoun_for(first.subject))
    joined = join(statement(first), ", but", ", aber", statement(second)) if chance.happens(0.5) else statement(second)
    return finish(
        f"{joined.english} because {english_words(replace(reason, subject=reason.subject))}",
        f"{joined.german}, weil {german_final(reason)}",
    )


COMPOSITES = {
    "conjunction": conjunction,
    "verb_final": verb_final,
    "subordinate_clause": subordinate_clause,
    "verb_second": verb_second,
    "date": date,
    "modal_verb": modal_verb,
}
