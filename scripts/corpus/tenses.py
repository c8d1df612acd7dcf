"""Tense and time together: the time is one that fits, and where English blurs the tense, it tells it."""

from dataclasses import replace

from corpus import choices
from corpus.build import AMBIGUOUS_PAST, NOT_IN_PAST, NOT_ONGOING
from corpus.chance import Chance
from corpus.clauses import Clause
from corpus.phrases import Part


def in_present(chance: Chance, clause: Clause, *, timed: float = 0.5) -> Clause:
    if clause.verb.name in NOT_IN_PAST or not chance.happens(timed):
        return clause
    if not clause.no_object and chance.happens(0.3):
        return clause.with_part(choices.frequency(chance))
    return clause.with_part(choices.present_time(chance))


def in_past(chance: Chance, clause: Clause, *, timed: float = 0.6) -> Clause:
    if clause.verb.name in NOT_IN_PAST:
        return clause
    past = replace(clause, tense="past")
    if clause.verb.english in AMBIGUOUS_PAST or chance.happens(timed):
        return past.with_part(choices.past_time(chance))
    return past


def in_future(chance: Chance, clause: Clause) -> Clause:
    if clause.verb.name in NOT_IN_PAST:
        return clause
    return replace(clause, tense="future").with_part(choices.future_time(chance))


def in_progress(clause: Clause) -> Clause:
    return clause if clause.verb.name in NOT_ONGOING else replace(clause, tense="progressive")


def in_perfect(clause: Clause) -> Clause:
    return clause if clause.verb.name in NOT_IN_PAST else replace(clause, tense="perfect")


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
