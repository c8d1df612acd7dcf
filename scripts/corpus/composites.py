"""Several clauses in one sentence: training lines where short, the `longer` part of the test where long."""

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import Clause
from corpus.phenomena.numbers import any_date
from corpus.phenomena.sentences import AND, BUT
from corpus.phenomena.subordinate import REASONS, circumstance, main_clause, under
from corpus.phrases import NounPhrase, pronoun_for
from corpus.text import Pair, both, sentence
from corpus.verbs import TRANSITIVE, WILLED

AND_BUT = "{}, and {}, but {} | {}, und {}, aber {}"


def placed(chance: Chance, clause: Clause) -> Clause:
    """Sometimes with a location, where the verb does not say one already."""
    if chance.happens(0.3) and clause.verb in TRANSITIVE[:8] and all(part.slot != "place" for part in clause.parts):
        return clause.having(choices.location(chance))
    return clause


def placed_anything(chance: Chance, subject: NounPhrase | None = None) -> Clause:
    return placed(chance, build.anything(chance, subject))


def conjunction(chance: Chance) -> Pair:
    """Three main clauses."""
    subjects = [choices.someone(chance)]
    for _ in range(2):
        subjects.append(choices.someone_else(chance, subjects[-1]))
    clauses = [placed_anything(chance, subject) for subject in subjects]
    return sentence(AND_BUT, *(tenses.perhaps_past(chance, clause, 0.3, timed=0.2) for clause in clauses))


def verb_final(chance: Chance) -> Pair:
    """A reason, and then another main clause."""
    subject = choices.someone(chance)
    conjunction = chance.pick(REASONS)
    reason = circumstance(chance, pronoun_for(subject))
    main = placed(chance, main_clause(chance, subject, reason))
    last = placed_anything(chance, choices.someone_else(chance, subject))
    return sentence("{} {}, but {} | {}, {}, aber {}", main, under(conjunction, reason), last)


def subordinate_clause(chance: Chance) -> Pair:
    """A condition, a main clause, another main clause."""
    subject = choices.someone(chance)
    opening = chance.pick(("if {} | wenn {}", "because {} | weil {}", "although {} | obwohl {}"))
    why = circumstance(chance, subject)
    main = placed_anything(chance, pronoun_for(subject))
    last = placed_anything(chance, choices.someone_else(chance, subject))
    return sentence(AND, main.after(why.final(opening)), last)


def verb_second(chance: Chance) -> Pair:
    """Two fronted times, each before its verb."""
    first = tenses.in_past(chance, placed_anything(chance), timed=1)
    second = tenses.in_future(chance, placed_anything(chance))
    return sentence(AND, tenses.time_first(first), tenses.time_first(second))


def date(chance: Chance) -> Pair:
    """Two dates."""
    return sentence(AND, dated_clause(chance), tenses.time_first(dated_clause(chance)))


def dated_clause(chance: Chance) -> Clause:
    clause = build.journey(chance) if chance.happens(0.6) else build.action(chance, described=0.2)
    tense = "present" if clause.verb.is_any("no_past") else "future"
    return clause.in_tense(tense).having(any_date(chance))


def modal_verb(chance: Chance) -> Pair:
    """Two modals and a reason."""
    subject = choices.someone(chance)
    modal = chance.pick(("want to", "must", "should"))
    other = choices.someone_else(chance, subject)
    other_modal = chance.pick(("can", "want to", "would like to"))
    first = build.action(chance, subject, among=WILLED).with_modal(modal)
    second = build.action(chance, other, among=WILLED).with_modal(other_modal)
    reason = circumstance(chance, pronoun_for(first.subject)).final()
    main = both(BUT, first, second) if chance.happens(0.5) else second
    return sentence("{} because {} | {}, weil {}", main, reason)


COMPOSITES = {
    draw.__name__: draw for draw in (conjunction, verb_final, subordinate_clause, verb_second, date, modal_verb)
}
