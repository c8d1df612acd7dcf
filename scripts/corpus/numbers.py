"""Numbers, dates, clock times and prices in both languages."""

from corpus.text import Pair, read_rows

NUMBERS = {int(value): Pair(english, german) for value, english, german in read_rows("numbers")}
ORDINALS = {int(day): Pair(english, german) for day, english, german in read_rows("ordinals")}  # after am with -n
MONTHS = {number: Pair(english, german) for number, (english, german, _) in enumerate(read_rows("months"), start=1)}
DAYS_IN_MONTH = {number: int(days) for number, (_, _, days) in enumerate(read_rows("months"), start=1)}
# minutes past the hour -> English and German phrase, and whether each counts towards the next hour
CLOCK = {int(minute): row for minute, *row in read_rows("clock")}


def english_number(number: int) -> str:
    """Words for 0 to 999: "three hundred and forty-seven"."""
    if number in NUMBERS:
        return NUMBERS[number].english
    if number < 100:
        return f"{NUMBERS[number - number % 10].english}-{NUMBERS[number % 10].english}"
    hundreds, rest = divmod(number, 100)
    return f"{NUMBERS[hundreds].english} hundred" + (f" and {english_number(rest)}" if rest else "")


def german_number(number: int) -> str:
    """Words for 0 to 999, written as one: "dreihundertsiebenundvierzig"; a final 1 is "eins"."""
    hundreds, rest = divmod(number, 100)
    prefix = f"{NUMBERS[hundreds].german}hundert" if hundreds else ""
    if rest == 1:
        return prefix + "eins"
    if rest in NUMBERS:
        return prefix if hundreds and not rest else prefix + NUMBERS[rest].german
    return f"{prefix}{NUMBERS[rest % 10].german}und{NUMBERS[rest - rest % 10].german}"


def in_words(number: int) -> Pair:
    return Pair(english_number(number), german_number(number))


def date_in_words(day: int, month: int) -> Pair:
    """Date, for example ("on the third of May", "am dritten Mai"); months count from 1."""
    english, german = MONTHS[month]
    return Pair(f"on the {ORDINALS[day].english} of {english}", f"am {ORDINALS[day].german}n {german}")


def date_in_digits(day: int, month: int) -> Pair:
    return Pair(f"on {day} {MONTHS[month].english}", f"am {day}. {MONTHS[month].german}")


def clock_time(hour: int, minute: int) -> Pair:
    """Clock time, for example (7, 30): ("at half past seven", "um halb acht"); hours 1 to 12, minutes of CLOCK."""
    english, german, english_shift, german_shift = CLOCK[minute]
    said = english_number((hour + int(english_shift) - 1) % 12 + 1)
    german_hour = (hour + int(german_shift) - 1) % 12 + 1
    heard = "ein" if german_hour == 1 and minute == 0 else german_number(german_hour)
    return Pair(f"at {english.format(said)}", f"um {german.format(heard)}")


def digital_time(hour: int, minute: int) -> Pair:
    return Pair(f"at {hour}:{minute:02}", f"um {hour}:{minute:02} Uhr")


def price(cents: int) -> Pair:
    """Price, for example 1250: ("12.50 euros", "12,50 Euro")."""
    euros, rest = divmod(cents, 100)
    english, german = (f".{rest:02}", f",{rest:02}") if rest else ("", "")
    return Pair(f"{euros}{english} euros", f"{euros}{german} Euro")
