"""Tense and time together: the time is one that fits, and where English blurs the tense, it tells it."""

from corpus import choices
from corpus.chance import Chance
from corpus.clauses import Clause
from corpus.phrases import Part
from corpus.text import Bilingual


def in_present(chance: Chance, clause: Clause, *, timed: float = 0.5) -> Clause:
    if clause.verb.is_any("no_past") or not chance.happens(timed):
        return clause
    if clause.negation != "kein" and chance.happens(0.3):
        return clause.having(choices.listed(chance, "frequency", "frequency"))
    return clause.having(choices.present_time(chance))


def in_past(chance: Chance, clause: Clause, *, timed: float = 0.6) -> Clause:
    if clause.verb.is_any("no_past"):
        return clause
    if clause.verb.is_any("ambiguous_past") or chance.happens(timed):
        return clause.in_past().having(choices.past_time(chance))
    return clause.in_past()


def perhaps_past(chance: Chance, clause: Clause, probability: float, *, timed: float) -> Clause:
    return in_past(chance, clause, timed=timed) if chance.happens(probability) else clause


def in_future(chance: Chance, clause: Clause) -> Clause:
    if clause.verb.is_any("no_past"):
        return clause
    return clause.in_tense("future").having(choices.future_time(chance))


def in_progress(clause: Clause) -> Clause:
    return clause if clause.verb.is_any("state", "sudden") else clause.in_tense("progressive")


def in_perfect(clause: Clause) -> Clause:
    return clause if clause.verb.is_any("no_past") else clause.in_tense("perfect")


def in_any_tense(chance: Chance, clause: Clause) -> Clause:
    """Mostly the present and the past; a time, where there is one, is the last part."""
    kind = chance.pick(("present", "present", "past", "past", "future", "progressive"))
    if kind == "present":
        return in_present(chance, clause)
    if kind == "past":
        return in_past(chance, clause)
    return in_future(chance, clause) if kind == "future" else in_progress(clause)


def time_of(clause: Clause) -> Part | None:
    return next((part for part in clause.parts if part.slot == "time"), None)


def time_first(clause: Clause) -> Bilingual:
    """The clause with its time in front, if it has one."""
    time = time_of(clause)
    return clause.fronted(time) if time else clause


def time_perhaps_first(chance: Chance, clause: Clause, probability: float = 0.3) -> Bilingual:
    time = time_of(clause)
    return clause.fronted(time) if time and chance.happens(probability) else clause
