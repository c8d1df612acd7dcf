"""Numbers, dates, clock times and prices in both languages."""

from corpus.text import Pair, read_rows

NUMBERS = {int(value): Pair(english, german) for value, english, german in read_rows("numbers")}
ORDINALS = {int(day): Pair(english, german) for day, english, german in read_rows("ordinals")}  # after am with -n
MONTHS = {number: Pair(english, german) for number, (english, german, _) in enumerate(read_rows("months"), start=1)}
DAYS_IN_MONTH = {number: int(days) for number, (_, _, days) in enumerate(read_rows("months"), start=1)}
# minutes past the hour -> English and German phrase, and whether each counts towards the next hour
CLOCK = {int(minute): row for minute, *row in read_rows("clock")}


def in_words(number: int) -> Pair:
    """Words for 0 to 999, in German written as one: "three hundred and forty-seven", "dreihundertsiebenundvierzig"."""
    hundreds, rest = divmod(number, 100)
    tens, ones = NUMBERS[rest - rest % 10], NUMBERS[rest % 10]
    words = NUMBERS.get(rest, Pair(f"{tens.english}-{ones.english}", f"{ones.german}und{tens.german}"))
    words = Pair("one", "eins") if rest == 1 else words  # "ein" only before another part
    if not hundreds:
        return words
    # Zero is said only where it is the whole number
    english, german = (f" and {words.english}", words.german) if rest else ("", "")
    return Pair(f"{NUMBERS[hundreds].english} hundred{english}", f"{NUMBERS[hundreds].german}hundert{german}")


def date_in_words(day: int, month: int) -> Pair:
    """Date, for example ("on the third of May", "am dritten Mai"); months count from 1."""
    english, german = MONTHS[month]
    return Pair(f"on the {ORDINALS[day].english} of {english}", f"am {ORDINALS[day].german}n {german}")


def date_in_digits(day: int, month: int) -> Pair:
    return Pair(f"on {day} {MONTHS[month].english}", f"am {day}. {MONTHS[month].german}")


def clock_time(hour: int, minute: int) -> Pair:
    """Clock time, for example (7, 30): ("at half past seven", "um halb acht"); hours 1 to 12, minutes of CLOCK."""
    english, german, english_shift, german_shift = CLOCK[minute]
    said = in_words((hour + int(english_shift) - 1) % 12 + 1).english
    german_hour = (hour + int(german_shift) - 1) % 12 + 1
    heard = "ein" if german_hour == 1 and minute == 0 else in_words(german_hour).german
    return Pair(f"at {english.format(said)}", f"um {german.format(heard)}")


def price(cents: int) -> Pair:
    """Price, for example 1250: ("12.50 euros", "12,50 Euro")."""
    euros, rest = divmod(cents, 100)
    english, german = (f".{rest:02}", f",{rest:02}") if rest else ("", "")
    return Pair(f"{euros}{english} euros", f"{euros}{german} Euro")
