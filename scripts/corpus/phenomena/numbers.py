"""Numbers, dates, times and prices, in words and in digits."""

from dataclasses import replace

from corpus import build, choices, numbers
from corpus.chance import Chance
from corpus.clauses import Clause
from corpus.numbers import CLOCK, DAYS_IN_MONTH, in_words
from corpus.phrases import SMALL_NUMBERS, NounPhrase, Part, noun_phrase
from corpus.text import Bilingual, Pair, both, say, sentence
from corpus.verbs import EVERYDAY, HAVE, OTHER, VERB
from corpus.words import NOUN, Noun, nouns_of

COUNTED_BY = (OTHER["count"], *(VERB[name] for name in ("write", "buy", "sell", "need", "repair")))
PUBLIC = tuple(noun for noun in nouns_of("building") if noun.english in choices.PLACES)
HOLDERS = (
    "book page", "novel page", "report page", "village house", "hotel room", "museum picture", "school teacher",
    "factory engineer", "hospital bed", "library book", "street house",
)  # fmt: skip
CENTS = (10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 95, 99)


def words_or_digits(chance: Chance, number: int, digits: float) -> Pair:
    return Pair(str(number), str(number)) if chance.happens(digits) else in_words(number)


def counted(chance: Chance, noun: Noun) -> NounPhrase:
    """From 2 to 999 of them, small numbers more often; never one that ends in one beyond a hundred."""
    count = chance.number(2, 99) if chance.happens(0.65) else chance.number(100, 999)
    if count > 100 and count % 100 == 1:
        count += 1
    written = words_or_digits(chance, count, 0.35)
    return choices.described(chance, noun, "", 0.2, plural=True).within("{1} {0} | {1} {0}", written)


def number(chance: Chance) -> Pair:
    """He counts twenty-one birds. -> Er zählt einundzwanzig Vögel."""
    return say(chance.recipe((1, age_of_someone), (1, parts_of_a_whole), (1, people_somewhere), (2, counting))(chance))


def age_of_someone(chance: Chance) -> Bilingual:
    """Anna is eighty years old; the age suits the last word that names the person."""
    subject = choices.third_person(chance)
    who = subject.english.split()[-1]
    if who in ("child", "girl", "boy", "children", "girls", "boys"):
        age = chance.number(2, 17)
    else:
        age = chance.number(60 if who.startswith("grand") else 21, 99)
    be = Pair("are", "sind") if subject.is_plural else Pair("is", "ist")
    return both("{} {} {} years old | {} {} {} Jahre alt", subject, be, words_or_digits(chance, age, 0.3))


def parts_of_a_whole(chance: Chance) -> Bilingual:
    holder, part = (NOUN[name] for name in chance.pick(HOLDERS).split())
    whole = choices.described(chance, holder, chance.pick(("the", "this")), 0.4)
    return build.acting(whole, HAVE, counted(chance, part)).in_tense(chance.pick(("present", "past")))


def people_somewhere(chance: Chance) -> Bilingual:
    where = choices.location(chance, chance.pick(PUBLIC))
    return both("there are {1} {0} | {0} sind {1}", where, counted(chance, chance.pick(choices.STRANGERS)))


def counting(chance: Chance) -> Bilingual:
    """Somebody counts, buys, repairs, ... a number of things."""
    verb = chance.pick(COUNTED_BY)
    things = [noun for noun in nouns_of("ware", "text", "animal") if noun.countable]
    noun = chance.pick([noun for noun in things if verb.takes(noun) or not verb.classes])
    thing = counted(chance, noun)
    clause = build.acting(choices.someone(chance), verb, thing)
    if chance.happens(0.5):
        return clause.having(choices.present_time(chance)) if chance.happens(0.4) else clause
    return clause.in_past().having(choices.past_time(chance))


def any_date(chance: Chance) -> Part:
    month = chance.number(1, 12)
    day = chance.number(1, DAYS_IN_MONTH[month])
    written = numbers.date_in_digits if chance.happens(0.4) else numbers.date_in_words
    return Part(*written(day, month), "time")


def date(chance: Chance) -> Pair:
    """The concert is on the third of May. -> Das Konzert ist am dritten Mai."""
    day, kind = any_date(chance), chance.number(1, 4)
    if kind == 1:
        event = chance.pick(nouns_of("event", "occasion"))
        owner = chance.pick(choices.OWNERS if event.belongs_to("occasion") else ("the", "our"))
        subject = choices.described(chance, event, owner, 0.3)
        on_the_day = Part(day.english, day.german, "predicate")
        return say(build.being(subject, on_the_day).in_tense(chance.pick(("present", "past"))))
    if kind == 2:
        subject, year = choices.third_person(chance), chance.number(1930, 2019)
        was = Pair("were", "wurden") if subject.is_plural else Pair("was", "wurde")
        written = Pair("", "") if "on the" in day.english else Pair(f" {year}", f" {year}")
        return sentence("{} {} born {}{} | {} {} {}{} geboren", subject, was, day, written)
    clause = build.journey(chance) if chance.happens(0.5) else build.action(chance, among=EVERYDAY, described=0.2)
    past = not clause.verb.is_any("no_past") and chance.happens(0.4) and not clause.verb.is_any("ambiguous_past")
    clause = clause.in_tense("past" if past else "future").having(day)
    return say(clause.fronted(day) if kind == 3 else clause)


def any_time(chance: Chance) -> Pair:
    if chance.happens(0.25):
        return numbers.digital_time(chance.number(6, 23), 5 * chance.number(0, 11))
    return numbers.clock_time(chance.number(1, 12), chance.pick(tuple(CLOCK)))


def time(chance: Chance) -> Pair:
    """The train leaves at half past seven. -> Der Zug fährt um halb acht ab."""
    clock, kind = any_time(chance), chance.number(1, 5)
    if kind == 1:
        subject = choices.described(chance, chance.pick(nouns_of("transport")), "the", 0.2)
        clause = Clause(subject, chance.pick((OTHER["leave"], VERB["arrive"])))
    elif kind == 2:
        clause = Clause(choices.described(chance, chance.pick(nouns_of("event")), "the", 0.2), OTHER["start"])
    elif kind == 3 and ":" not in clock.english:
        hour = Pair(clock.english.removeprefix("at "), clock.german.removeprefix("um "))
        return sentence("it is {} | es ist {}", hour)
    else:
        clause = build.anything(chance)
        if clause.verb.is_any("state"):
            clause = build.activity(chance)
    at_the_time = Part(*clock, "time")
    if not chance.happens(0.6):
        return say(clause.having(at_the_time))
    clause = clause.in_tense(chance.pick(("present", "future")))
    day = choices.future_time(chance) if clause.tense == "future" else choices.listed(chance, "daily", "time")
    if chance.happens(0.3):
        return say(clause.having(at_the_time, day).fronted(day))
    # English says the clock time first, German the day
    return say(clause.having(Part(*both("{0} {1} | {1} {0}", clock, day), "time")))


def any_price(chance: Chance, noun: Noun) -> Pair:
    """A price that the thing may have: food below ten euros, a car above two hundred."""
    most = 9 if noun.belongs_to("food", "drink") else 99
    if noun.belongs_to("machine", "furniture"):
        euros = 10 * chance.number(2, 99) + chance.pick((0, 2, 5, 8, 9))
        if chance.happens(0.5):
            return numbers.price(100 * euros)
    elif chance.happens(0.25):
        euros = chance.number(2, most)
    else:
        return numbers.price(100 * chance.number(1, most) + chance.pick(CENTS))
    return both("{} euros | {} Euro", in_words(euros))


def price(chance: Chance) -> Pair:
    """The book costs 12.50 euros. -> Das Buch kostet 12,50 Euro."""
    noun = chance.pick((*nouns_of("ware", "food", "clothing", "drink"), NOUN["ticket"]))
    cost, is_mass = any_price(chance, noun), noun.belongs_to("mass")
    thing = choices.described(chance, noun, "the" if is_mass else chance.pick(("the", "the", "this")), 0.5)
    kind = chance.number(1, 5)
    if kind <= 2:
        only = chance.pick(("{} costs {} | {} kostet {}",) * 2 + ("{} costs only {} | {} kostet nur {}",))
        return sentence(only, thing, cost)
    if kind == 3:
        return say(paid_for(chance, thing, cost))
    if kind == 4:
        many = noun_phrase(noun, "the", plural=True) if noun.countable else thing
        costs = Pair("cost", "kosten") if many.is_plural else Pair("costs", "kostet")
        if chance.happens(0.3):
            does = "do" if many.is_plural else "does"
            return sentence(f"how much {does} {{0}} cost | wie viel {{1}} {{0}}", many, costs, mark="?")
        return sentence("{} {} {} | {} {} {}", many, costs, cost)
    subject = choices.someone(chance)
    thing = thing if is_mass else choices.described(chance, noun, "a", 0.4)
    bought = build.acting(subject, VERB["buy"], thing).having(Part(*both("for {} | für {}", cost), "manner"))
    return say(bought.in_tense(chance.pick(("past", "present"))))


def paid_for(chance: Chance, thing: NounPhrase, cost: Pair) -> Clause:
    """Someone paid 12 euros for the thing."""
    pay = replace(VERB["pay for"], tail="")
    goods = Part(*thing.after(Pair("for", "für"), "accusative"), "prepositional")
    paid = Clause(choices.someone(chance), pay, (Part(*cost, "accusative"), goods), "past")
    return paid.having(choices.past_time(chance)) if chance.happens(0.4) else paid


def duration(chance: Chance) -> Pair:
    """The concert lasts two hours. -> Das Konzert dauert zwei Stunden."""
    noun = chance.pick(nouns_of("event"))
    subject = choices.described(chance, noun, chance.pick(("the", "our", "this")), 0.4)
    count = chance.pick(("a", *SMALL_NUMBERS, "six", "ten"))
    unit = NOUN[chance.pick(("day", "week", "month") if noun.english in ("journey", "course") else ("minute", "hour"))]
    count = "ten" if unit.english == "minute" and count == "a" else count
    span = noun_phrase(unit, count, plural=count != "a").as_object("accusative")
    shown = "an hour" if span.english == "a hour" else span.english
    clause = Clause(subject, OTHER["last"], (Part(shown, span.german, "accusative"),))
    return say(clause.in_tense(chance.pick(("present", "past"))))


PHENOMENA = (number, date, time, price, duration)
