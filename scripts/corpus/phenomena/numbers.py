"""Numbers, dates, times and prices, in words and in digits."""

from dataclasses import replace

from corpus import numbers
from corpus.clauses import Clause, acting, being
from corpus.draw import LOCATIONS, OWNERS, SMALL_NUMBERS, STRANGERS, Draw
from corpus.numbers import in_words
from corpus.phrases import NounPhrase, Part, noun_phrase
from corpus.text import Bilingual, Pair, both, read_rows
from corpus.words import EVERYDAY, HAVE, NOUN, OTHER, VERB, Noun, nouns_of

COUNTED_BY = (OTHER["count"], *(VERB[name] for name in ("write", "buy", "sell", "need", "repair")))
PUBLIC = tuple(noun.english for noun in nouns_of("building") if noun.english in LOCATIONS)
COUNTABLE = [noun for noun in nouns_of("ware", "text", "animal") if noun.countable]
CENTS = (10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 95, 99)


def words_or_digits(draw: Draw, number: int, digits: float) -> Pair:
    return Pair(str(number), str(number)) if draw.happens(digits) else in_words(number)


def counted(draw: Draw, noun: Noun) -> NounPhrase:
    """From 2 to 999 of them, small numbers more often; never one that ends in one beyond a hundred."""
    count = draw.number(2, 99) if draw.happens(0.65) else draw.number(100, 999)
    if count > 100 and count % 100 == 1:  # "hunderteins Bücher" is seldom said
        count += 1
    written = words_or_digits(draw, count, 0.35)
    return draw.described(noun, "", 0.2, plural=True).within("{1} {0} | {1} {0}", written)


def number(draw: Draw) -> Bilingual:
    """He counts twenty-one birds. -> Er zählt einundzwanzig Vögel."""
    kind = draw.number(1, 5)
    if kind == 1:
        subject = draw.someone(pronouns=0)
        who = subject.english.split()[-1]
        is_child = who.removesuffix("s") in ("child", "children", "girl", "boy")
        low, high = (2, 17) if is_child else (60 if who.startswith("grand") else 21, 99)
        age = words_or_digits(draw, draw.number(low, high), 0.3)
        return both("{} {} {} years old | {} {} {} Jahre alt", subject, subject.be, age)
    if kind == 2:
        holder, part = (NOUN[name] for name in draw.pick(read_rows("holders")))
        whole = draw.described(holder, draw.pick(("the", "this")), 0.4)
        return acting(whole, HAVE, counted(draw, part)).in_tense(draw.pick(("present", "past")))
    if kind == 3:
        where, people = draw.location(*PUBLIC), counted(draw, draw.pick(STRANGERS))
        return both("there are {1} {0} | {0} sind {1}", where, people)
    verb = draw.pick(COUNTED_BY)
    thing = counted(draw, draw.pick([noun for noun in COUNTABLE if verb.takes(noun) or not verb.classes]))
    clause = acting(draw.someone(), verb, thing)
    if draw.happens(0.5):
        return clause.having(draw.present_time()) if draw.happens(0.4) else clause
    return clause.in_past().having(draw.past_time())


def any_date(draw: Draw) -> Part:
    month = draw.number(1, 12)
    day = draw.number(1, numbers.DAYS_IN_MONTH[month])
    written = numbers.date_in_digits if draw.happens(0.4) else numbers.date_in_words
    return Part(*written(day, month), "time")


def date(draw: Draw) -> Bilingual:
    """The concert is on the third of May. -> Das Konzert ist am dritten Mai."""
    day, kind = any_date(draw), draw.number(1, 4)
    if kind == 1:
        event = draw.pick(nouns_of("event", "occasion"))
        subject = draw.described(event, draw.pick(OWNERS if event.belongs_to("occasion") else ("the", "our")), 0.3)
        return being(subject, day._replace(slot="predicate")).in_tense(draw.pick(("present", "past")))
    if kind == 2:
        subject, year = draw.someone(pronouns=0), draw.number(1930, 2019)
        was = Pair("were", "wurden") if subject.is_plural else Pair("was", "wurde")
        written = "" if "on the" in day.english else f" {year}"
        return both(f"{{}} {{}} born {{}}{written} | {{}} {{}} {{}}{written} geboren", subject, was, day)
    clause = draw.journey() if draw.happens(0.5) else draw.action(among=EVERYDAY, described=0.2)
    # With an ambiguous past only a past time would tell the tense, and a date may be either
    past = not clause.verb.is_any("no_past") and draw.happens(0.4) and not clause.verb.is_any("ambiguous_past")
    clause = clause.in_tense("past" if past else "future").having(day)
    return clause.time_first() if kind == 3 else clause


def time(draw: Draw) -> Bilingual:
    """The train leaves at half past seven. -> Der Zug fährt um halb acht ab."""
    if draw.happens(0.25):
        shown = f"{draw.number(6, 23)}:{5 * draw.number(0, 11):02}"
        clock = Pair(f"at {shown}", f"um {shown} Uhr")
    else:
        clock = numbers.clock_time(draw.number(1, 12), draw.pick(tuple(numbers.CLOCK)))
    kind, at_the_time = draw.number(1, 5), Part(*clock, "time")
    if kind <= 2:
        subject = draw.described(draw.pick(nouns_of("transport" if kind == 1 else "event")), "the", 0.2)
        clause = Clause(subject, draw.pick((OTHER["leave"], VERB["arrive"])) if kind == 1 else OTHER["start"])
    elif kind == 3 and ":" not in clock.english:
        return Pair(f"it is {clock.english.removeprefix('at ')}", f"es ist {clock.german.removeprefix('um ')}")
    else:
        clause = draw.anything()
        clause = draw.activity() if clause.verb.is_any("state") else clause
    if not draw.happens(0.6):
        return clause.having(at_the_time)
    clause = clause.in_tense(draw.pick(("present", "future")))
    day = draw.future_time() if clause.tense == "future" else draw.listed("daily", "time")
    if draw.happens(0.3):
        return clause.having(at_the_time, day).fronted(day)
    # English says the clock time first, German the day
    return clause.having(Part(*both("{0} {1} | {1} {0}", clock, day), "time"))


def any_price(draw: Draw, noun: Noun) -> Pair:
    """A price that the thing may have: food below ten euros, a car above two hundred."""
    most = 9 if noun.belongs_to("food", "drink") else 99
    if noun.belongs_to("machine", "furniture"):
        euros = 10 * draw.number(2, 99) + draw.pick((0, 2, 5, 8, 9))
        if draw.happens(0.5):
            return numbers.price(100 * euros)
    elif draw.happens(0.25):
        euros = draw.number(2, most)
    else:
        return numbers.price(100 * draw.number(1, most) + draw.pick(CENTS))
    return both("{} euros | {} Euro", in_words(euros))


def price(draw: Draw) -> Bilingual:
    """The book costs 12.50 euros. -> Das Buch kostet 12,50 Euro."""
    noun = draw.pick((*nouns_of("ware", "food", "clothing", "drink"), NOUN["ticket"]))
    cost, is_mass = any_price(draw, noun), noun.belongs_to("mass")
    thing = draw.described(noun, "the" if is_mass else draw.pick(("the", "the", "this")), 0.5)
    kind = draw.number(1, 5)
    if kind <= 2:
        plain, only = "{} costs {} | {} kostet {}", "{} costs only {} | {} kostet nur {}"
        return both(draw.pick((plain, plain, only)), thing, cost)
    if kind == 4:
        many = noun_phrase(noun, "the", plural=True) if noun.countable else thing
        costs = Pair("cost", "kosten") if many.is_plural else Pair("costs", "kostet")
        if draw.happens(0.3):
            does = Pair("do", "kosten") if many.is_plural else Pair("does", "kostet")
            return both("how much {} {} cost? | wie viel {} {}?", does, many)
        return both("{} {} {} | {} {} {}", many, costs, cost)
    subject = draw.someone()
    if kind == 3:
        goods = Part(*thing.after(Pair("for", "für"), "accusative"), "prepositional")
        pay = replace(VERB["pay for"], tail="")  # "paid 3 euros for it", not "paid for 3 euros"
        paid = Clause(subject, pay, (Part(*cost, "accusative"), goods), "past")
        return paid.having(draw.past_time()) if draw.happens(0.4) else paid
    thing = thing if is_mass else draw.described(noun, "a", 0.4)
    bought = acting(subject, VERB["buy"], thing).having(Part(*both("for {} | für {}", cost), "manner"))
    return bought.in_tense(draw.pick(("past", "present")))


def duration(draw: Draw) -> Bilingual:
    """The concert lasts two hours. -> Das Konzert dauert zwei Stunden."""
    noun = draw.pick(nouns_of("event"))
    subject = draw.described(noun, draw.pick(("the", "our", "this")), 0.4)
    count = draw.pick(("a", *SMALL_NUMBERS, "six", "ten"))
    unit = draw.pick(("day", "week", "month") if noun.english in ("journey", "course") else ("minute", "hour"))
    count = "ten" if unit == "minute" and count == "a" else count
    span = noun_phrase(NOUN[unit], count, plural=count != "a")
    shown = span.english.replace("a hour", "an hour")
    clause = Clause(subject, OTHER["last"], (Part(shown, span.case("accusative").german, "accusative"),))
    return clause.in_tense(draw.pick(("present", "past")))
