"""Several clauses in one sentence: training lines where short, the `longer` part of the test where long."""

from corpus.clauses import Clause
from corpus.draw import Draw
from corpus.phenomena.numbers import any_date
from corpus.phenomena.sentences import AND, BUT
from corpus.phenomena.subordinate import REASONS, circumstance, main_clause, under
from corpus.text import Bilingual, both
from corpus.words import TRANSITIVE, WILLED


def located(draw: Draw, clause: Clause) -> Clause:
    """Sometimes with a location, where the verb does not say one already."""
    # The first eight verbs, from read to need, are done anywhere
    if draw.happens(0.3) and clause.verb in TRANSITIVE[:8] and not clause.count("location"):
        return clause.having(draw.location())
    return clause


def conjunction(draw: Draw) -> Bilingual:
    """Three main clauses."""
    first = draw.someone()
    second = draw.someone_else(first)
    clauses = [located(draw, draw.anything(subject)) for subject in (first, second, draw.someone_else(second))]
    clauses = [draw.perhaps_past(clause, 0.3, timed=0.2) for clause in clauses]
    return both("{}, and {}, but {} | {}, und {}, aber {}", *clauses)


def verb_final(draw: Draw) -> Bilingual:
    """A reason, and then another main clause."""
    subject, conjunction = draw.someone(), draw.pick(REASONS)
    reason = circumstance(draw, subject.as_pronoun())
    main = located(draw, main_clause(draw, subject, reason))
    last = located(draw, draw.anything(draw.someone_else(subject)))
    return both("{} {}, but {} | {}, {}, aber {}", main, under(conjunction, reason), last)


def subordinate_clause(draw: Draw) -> Bilingual:
    """A condition, a main clause, another main clause."""
    subject = draw.someone()
    opening = draw.pick(("if {} | wenn {}", "because {} | weil {}", "although {} | obwohl {}"))
    why = circumstance(draw, subject).final(opening)
    main = located(draw, draw.anything(subject.as_pronoun()))
    return both(AND, main.after(why), located(draw, draw.anything(draw.someone_else(subject))))


def verb_second(draw: Draw) -> Bilingual:
    """Two fronted times, each before its verb."""
    first = draw.in_past(located(draw, draw.anything()), timed=1)
    return both(AND, first.time_first(), draw.in_future(located(draw, draw.anything())).time_first())


def date(draw: Draw) -> Bilingual:
    """Two dates."""
    return both(AND, dated_clause(draw), dated_clause(draw).time_first())


def dated_clause(draw: Draw) -> Clause:
    clause = draw.journey() if draw.happens(0.6) else draw.action(described=0.2)
    tense = "present" if clause.verb.is_any("no_past") else "future"
    return clause.in_tense(tense).having(any_date(draw))


def modal_verb(draw: Draw) -> Bilingual:
    """Two modals and a reason."""
    subject, modal = draw.someone(), draw.pick(("want to", "must", "should"))
    other, other_modal = draw.someone_else(subject), draw.pick(("can", "want to", "would like to"))
    first = draw.action(subject, among=WILLED).with_modal(modal)
    second = draw.action(other, among=WILLED).with_modal(other_modal)
    reason = circumstance(draw, subject.as_pronoun()).final("because {} | weil {}")
    main = both(BUT, first, second) if draw.happens(0.5) else second
    return both("{} {} | {}, {}", main, reason)


COMPOSITES = (conjunction, verb_final, subordinate_clause, verb_second, date, modal_verb)
