"""English inflection: articles and verb forms."""

from corpus.words import Verb

DOUBLED = ("sit", "put", "get", "forget", "hug", "travel")


def article(phrase: str) -> str:
    """Choose "a" or "an" by the first sound of the phrase."""
    sounded_like_you = phrase.startswith(("uni", "use"))
    return "an" if phrase[0].lower() in "aeiou" and not sounded_like_you else "a"


def third_person(base: str) -> str:
    if base == "have":
        return "has"
    if base.endswith(("s", "sh", "ch", "x", "o")):
        return base + "es"
    if base.endswith("y") and base[-2] not in "aeou":
        return base[:-1] + "ies"
    return base + "s"


def regular_past(base: str) -> str:
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in "aeou":
        return base[:-1] + "ied"
    return base + "ed"


def past(verb: Verb) -> str:
    return verb.past or regular_past(verb.english)


def past_participle(verb: Verb) -> str:
    return verb.past_participle or regular_past(verb.english)


def progressive(verb: Verb) -> str:
    base = verb.english
    if base == "lie":
        return "lying"
    if base in DOUBLED:
        return base + base[-1] + "ing"
    return (base[:-1] if base.endswith("e") else base) + "ing"


def be(person: str, *, past: bool = False) -> str:
    if past:
        return "was" if person in ("1s", "3s") else "were"
    return {"1s": "am", "3s": "is"}.get(person, "are")
