"""Numbers, dates, clock times and prices in both languages."""

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
GERMAN_ONES = [
    "null",
    "ein",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
]
GERMAN_TENS = ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]

ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
]
GERMAN_ORDINALS = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte"}

MONTHS = (
    ("January", "Januar"), ("February", "Februar"), ("March", "März"), ("April", "April"),
    ("May", "Mai"), ("June", "Juni"), ("July", "Juli"), ("August", "August"),
    ("September", "September"), ("October", "Oktober"), ("November", "November"), ("December", "Dezember"),
)  # fmt: skip
DAYS_IN_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# minutes past the hour -> English and German phrase, and whether each counts towards the next hour
CLOCK = {
    0: ("{} o'clock", "{} Uhr", 0, 0),
    5: ("five past {}", "fünf nach {}", 0, 0),
    10: ("ten past {}", "zehn nach {}", 0, 0),
    15: ("a quarter past {}", "Viertel nach {}", 0, 0),
    20: ("twenty past {}", "zwanzig nach {}", 0, 0),
    30: ("half past {}", "halb {}", 0, 1),
    40: ("twenty to {}", "zwanzig vor {}", 1, 1),
    45: ("a quarter to {}", "Viertel vor {}", 1, 1),
    50: ("ten to {}", "zehn vor {}", 1, 1),
    55: ("five to {}", "fünf vor {}", 1, 1),
}


def english_number(number: int) -> str:
    """In words, from 0 to 999: "three hundred and forty-seven"."""
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f"-{ONES[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{ONES[hundreds]} hundred" + (f" and {english_number(rest)}" if rest else "")


def german_number(number: int) -> str:
    """In words, from 0 to 999, in one word: "dreihundertsiebenundvierzig"; 1 is "eins" at its end."""
    if number % 100 == 1:
        return ("" if number == 1 else german_prefix(number // 100)) + "eins"
    if number < 20:
        return GERMAN_ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return (f"{GERMAN_ONES[ones]}und" if ones else "") + GERMAN_TENS[tens - 2]
    hundreds, rest = divmod(number, 100)
    return german_prefix(hundreds) + (german_number(rest) if rest else "")


def german_prefix(hundreds: int) -> str:
    return f"{GERMAN_ONES[hundreds]}hundert"


def english_ordinal(day: int) -> str:
    """From 1 to 31: "twenty-first"."""
    if day < 20:
        return ORDINALS[day - 1]
    tens, ones = divmod(day, 10)
    return f"{TENS[tens - 2]}-{ORDINALS[ones - 1]}" if ones else TENS[tens - 2][:-1] + "ieth"


def german_ordinal(day: int) -> str:
    """The form after der: "einundzwanzigste"; after am it takes -n."""
    if day in GERMAN_ORDINALS:
        return GERMAN_ORDINALS[day]
    return german_number(day) + ("te" if day < 20 else "ste")


def date_in_words(day: int, month: int) -> tuple[str, str]:
    """For example ("on the third of May", "am dritten Mai"); months count from 1."""
    english, german = MONTHS[month - 1]
    return f"on the {english_ordinal(day)} of {english}", f"am {german_ordinal(day)}n {german}"


def date_in_digits(day: int, month: int) -> tuple[str, str]:
    english, german = MONTHS[month - 1]
    return f"on {day} {english}", f"am {day}. {german}"


def clock_time(hour: int, minute: int) -> tuple[str, str]:
    """For example (7, 30): ("at half past seven", "um halb acht"); hours from 1 to 12, minutes in CLOCK."""
    english, german, english_shift, german_shift = CLOCK[minute]
    said = ONES[(hour + english_shift - 1) % 12 + 1]
    german_hour = (hour + german_shift - 1) % 12 + 1
    heard = "ein" if german_hour == 1 and minute == 0 else german_number(german_hour)
    return f"at {english.format(said)}", f"um {german.format(heard)}"


def digital_time(hour: int, minute: int) -> tuple[str, str]:
    return f"at {hour}:{minute:02}", f"um {hour}:{minute:02} Uhr"


def price(cents: int) -> tuple[str, str]:
    """For example 1250: ("12.50 euros", "12,50 Euro")."""
    euros, rest = divmod(cents, 100)
    return (f"{euros}.{rest:02} euros", f"{euros},{rest:02} Euro") if rest else (f"{euros} euros", f"{euros} Euro")
