"""Numbers, dates, times and prices, in words and in digits."""

from dataclasses import replace

from corpus import build, choices
from corpus.chance import Chance
from corpus.clauses import Clause, Pair, finish, fronted, say, statement
from corpus.nouns import NOUN, Noun, nouns_of
from corpus.numbers import (
    CLOCK,
    DAYS_IN_MONTH,
    clock_time,
    date_in_digits,
    date_in_words,
    digital_time,
    english_number,
    german_number,
    price,
)  # fmt: skip
from corpus.phenomena.verbs import EVERYDAY
from corpus.phrases import NounPhrase, Part, noun_phrase, object_part
from corpus.verbs import Verb

SUBJECT = NounPhrase("it", "it", ("es", "es", "ihm", ""), "neuter", "3s", is_pronoun=True)


def any_number(chance: Chance) -> tuple[str, str]:
    """From 2 to 999, small ones more often, in words or digits; never ending in one beyond a hundred."""
    number = chance.number(2, 99) if chance.happens(0.65) else chance.number(100, 999)
    if number > 100 and number % 100 == 1:
        number += 1
    return (str(number), str(number)) if chance.happens(0.35) else (english_number(number), german_number(number))


def counted(chance: Chance, noun: Noun) -> NounPhrase:
    english, german = any_number(chance)
    bare = noun_phrase(noun, "", choices.adjective_for(chance, noun, 0.2), plural=True)
    nominative, accusative, dative, genitive = (f"{german} {form}" for form in bare.forms)
    forms = (nominative, accusative, dative, genitive)
    return NounPhrase(f"{english} {bare.english}", f"{english} {bare.english}", forms, "plural", "3p")


def number(chance: Chance) -> Pair:
    """He counts twenty-one birds. -> Er zählt einundzwanzig Vögel."""
    kind = chance.number(1, 5)
    if kind == 1:
        subject = choices.third_person(chance)
        age, alter = any_age(chance, subject.english.split()[-1])
        verb, ist = ("are", "sind") if subject.person == "3p" else ("is", "ist")
        return finish(f"{subject.english} {verb} {age} years old", f"{subject.forms[0]} {ist} {alter} Jahre alt")
    if kind == 2:
        holder, noun = chance.pick(HOLDERS)
        whole = noun_phrase(
            NOUN[holder], chance.pick(("the", "this")), choices.adjective_for(chance, NOUN[holder], 0.4)
        )
        clause = Clause(whole, build.HAVE, (object_part(build.HAVE, counted(chance, NOUN[noun])),))
        return say(statement(replace(clause, tense=chance.pick(("present", "past")))))
    if kind == 3:
        place = choices.location(
            chance, chance.pick([noun for noun in nouns_of("building") if noun.english in PLACE_NAMES])
        )
        things = counted(chance, chance.pick([noun for noun in choices.PEOPLE if "kin" not in noun.classes]))
        return finish(f"there are {things.english} {place.english}", f"{place.german} sind {things.forms[0]}")
    return counting(chance)


def counting(chance: Chance) -> Pair:
    """Somebody counts, buys, repairs, ... a number of things."""
    verb = chance.pick((build.OTHER["count"], *COUNTABLE_VERBS))
    things = [noun for noun in nouns_of("ware", "text", "animal") if noun.countable and fits(noun, verb)]
    goal = object_part(verb, counted(chance, chance.pick(things)))
    return say(statement(in_plain_tense(chance, Clause(choices.someone(chance), verb, (goal,)))))


COUNTABLE_VERBS = tuple(v for v in build.TRANSITIVE if v.name in ("buy", "sell", "need", "write", "repair"))
PLACE_NAMES = tuple(choices.PLACE_PREPOSITIONS)
HOLDERS = (
    ("book", "page"), ("novel", "page"), ("report", "page"), ("village", "house"), ("hotel", "room"),
    ("museum", "picture"), ("school", "teacher"), ("factory", "engineer"), ("hospital", "bed"),
    ("library", "book"), ("street", "house"),
)  # fmt: skip


def fits(noun: Noun, verb: Verb) -> bool:
    return not verb.classes or bool(set(verb.classes) & set(noun.classes))


def in_plain_tense(chance: Chance, clause: Clause) -> Clause:
    if chance.happens(0.5):
        return clause.with_part(choices.present_time(chance)) if chance.happens(0.4) else clause
    return replace(clause, tense="past").with_part(choices.past_time(chance))


def any_age(chance: Chance, who: str) -> tuple[str, str]:
    """An age that suits the person, by the last word that names them."""
    if who in ("child", "girl", "boy", "children", "girls", "boys"):
        age = chance.number(2, 17)
    else:
        age = chance.number(60 if who.startswith("grand") else 21, 99)
    return (str(age), str(age)) if chance.happens(0.3) else (english_number(age), german_number(age))


def any_date(chance: Chance) -> tuple[str, str]:
    month = chance.number(1, 12)
    day = chance.number(1, DAYS_IN_MONTH[month - 1])
    return (date_in_digits if chance.happens(0.4) else date_in_words)(day, month)


def date(chance: Chance) -> Pair:
    """The concert is on the third of May. -> Das Konzert ist am dritten Mai."""
    english, german = any_date(chance)
    part, kind = Part(english, german, "time"), chance.number(1, 4)
    if kind == 1:
        event = chance.pick(nouns_of("event", "occasion"))
        owner = chance.pick(choices.OWNERS) if "occasion" in event.classes else chance.pick(("the", "our"))
        subject = noun_phrase(event, owner, choices.adjective_for(chance, event, 0.3))
        clause = Clause(subject, build.BE, (replace(part, slot="predicate"),), chance.pick(("present", "past")))
        return say(statement(clause))
    if kind == 2:
        subject, year = choices.third_person(chance), chance.number(1930, 2019)
        was, wurde = ("were", "wurden") if subject.person == "3p" else ("was", "wurde")
        with_year = "on the" not in english
        english, german = (f"{english} {year}", f"{german} {year}") if with_year else (english, german)
        return finish(f"{subject.english} {was} born {english}", f"{subject.forms[0]} {wurde} {german} geboren")
    clause = build.journey(chance) if chance.happens(0.5) else build.action(chance, among=EVERYDAY, described=0.2)
    tense = "past" if clause.verb.name not in build.NOT_IN_PAST and chance.happens(0.4) else "future"
    if clause.verb.english in build.AMBIGUOUS_PAST:
        tense = "future"
    clause = replace(clause, tense=tense).with_part(part)
    return say(fronted(clause, part) if kind == 3 else statement(clause))


def any_time(chance: Chance) -> tuple[str, str]:
    if chance.happens(0.25):
        return digital_time(chance.number(6, 23), 5 * chance.number(0, 11))
    return clock_time(chance.number(1, 12), chance.pick(tuple(CLOCK)))


def time(chance: Chance) -> Pair:
    """The train leaves at half past seven. -> Der Zug fährt um halb acht ab."""
    english, german = any_time(chance)
    part, kind = Part(english, german, "time"), chance.number(1, 5)
    if kind == 1:
        noun = chance.pick(nouns_of("transport"))
        subject = noun_phrase(noun, "the", choices.adjective_for(chance, noun, 0.2))
        verb = chance.pick((build.OTHER["leave"], *(v for v in build.INTRANSITIVE if v.english == "arrive")))
        clause = Clause(subject, verb)
    elif kind == 2:
        noun = chance.pick(nouns_of("event"))
        clause = Clause(noun_phrase(noun, "the", choices.adjective_for(chance, noun, 0.2)), build.OTHER["start"])
    elif kind == 3 and ":" not in english:
        hour = german.removeprefix("um ")
        return finish(f"it is {english.removeprefix('at ')}", f"es ist {hour}")
    else:
        clause = build.anything(chance)
        if clause.verb.name in build.STATES:
            clause = build.activity(chance)
    if chance.happens(0.6):
        tense, moment = chance.pick((("present", choices.present_time), ("future", choices.future_time)))
        when = choices.time_part(chance, DAILY) if moment is choices.present_time else moment(chance)
        clause = replace(clause, tense=tense)
        if chance.happens(0.3):
            return say(fronted(clause.with_part(part).with_part(when), when))
        return both(clause, part, when)
    return say(statement(clause.with_part(part)))


DAILY = """
today | heute
every day | jeden Tag
every Monday | jeden Montag
every Friday | jeden Freitag
"""


def both(clause: Clause, clock: Part, day: Part) -> Pair:
    """Clock time and day: English says the clock time first, German the day."""
    return say(
        statement(clause.with_part(Part(f"{clock.english} {day.english}", f"{day.german} {clock.german}", "time")))
    )


def any_price(chance: Chance, noun: Noun) -> tuple[str, str]:
    """A price that the thing may have: food below ten euros, a car above two hundred."""
    most = 9 if {"food", "drink"} & set(noun.classes) else 99
    if {"machine", "furniture"} & set(noun.classes):
        euros = 10 * chance.number(2, 99) + chance.pick((0, 2, 5, 8, 9))
        if chance.happens(0.5):
            return price(100 * euros)
        return f"{english_number(euros)} euros", f"{german_number(euros)} Euro"
    if chance.happens(0.25):
        euros = chance.number(2, most)
        return f"{english_number(euros)} euros", f"{german_number(euros)} Euro"
    return price(100 * chance.number(1, most) + chance.pick((10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 95, 99)))


def price_of(chance: Chance) -> Pair:
    """The book costs 12.50 euros. -> Das Buch kostet 12,50 Euro."""
    noun = chance.pick((*nouns_of("ware", "food", "clothing", "drink"), NOUN["ticket"]))
    english, german = any_price(chance, noun)
    mass = "mass" in noun.classes
    thing = noun_phrase(
        noun, "the" if mass else chance.pick(("the", "the", "this")), choices.adjective_for(chance, noun, 0.5)
    )
    kind = chance.number(1, 5)
    if kind <= 2:
        only, nur = chance.pick((("", ""), ("", ""), ("only ", "nur ")))
        return finish(f"{thing.english} costs {only}{english}", f"{thing.forms[0]} kostet {nur}{german}")
    if kind == 3:
        subject = choices.someone(chance)
        pay = next(verb for verb in build.TRANSITIVE if verb.name == "pay for")
        paid = Clause(subject, replace(pay, tail=""), (Part(english, german, "accusative"),), "past")
        paid = paid.with_part(Part(f"for {thing.english}", f"für {thing.case('accusative')}", "prepositional"))
        if chance.happens(0.4):
            paid = paid.with_part(choices.past_time(chance))
        return say(statement(paid))
    if kind == 4:
        many = noun_phrase(noun, "the", plural=True) if noun.countable else thing
        does, cost = ("do", "kosten") if many.person == "3p" else ("does", "kostet")
        if chance.happens(0.3):
            return finish(f"how much {does} {many.english} cost", f"wie viel {cost} {many.forms[0]}", "?")
        verb = "cost" if many.person == "3p" else "costs"
        return finish(f"{many.english} {verb} {english}", f"{many.forms[0]} {cost} {german}")
    subject = choices.someone(chance)
    buy = build.TRANSITIVE[2]
    thing = thing if mass else noun_phrase(noun, "a", choices.adjective_for(chance, noun, 0.4))
    bought = Clause(subject, buy, (object_part(buy, thing), Part(f"for {english}", f"für {german}", "manner")))
    return say(statement(replace(bought, tense=chance.pick(("past", "present")))))


def duration(chance: Chance) -> Pair:
    """The concert lasts two hours. -> Das Konzert dauert zwei Stunden."""
    noun = chance.pick(nouns_of("event"))
    subject = noun_phrase(noun, chance.pick(("the", "our", "this")), choices.adjective_for(chance, noun, 0.4))
    count = chance.pick(("a", *choices.SMALL_NUMBERS, "six", "ten"))
    units = ("day", "week", "month") if noun.english in ("journey", "course") else ("minute", "hour")
    unit = NOUN[chance.pick(units)]
    count = "ten" if unit.english == "minute" and count == "a" else count
    span = noun_phrase(unit, count, plural=count != "a")
    shown = span.english if unit.english != "hour" or count != "a" else "an hour"
    clause = Clause(subject, build.OTHER["last"], (Part(shown, span.case("accusative"), "accusative"),))
    return say(statement(replace(clause, tense=chance.pick(("present", "past")))))
