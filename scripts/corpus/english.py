"""English inflection: the article and the forms of "be"."""


def article(phrase: str) -> str:
    """Choose "a" or "an" by the first sound of the phrase."""
    sounded_like_you = phrase.startswith(("uni", "use"))
    return "an" if phrase[0].lower() in "aeiou" and not sounded_like_you else "a"


def be(person: str, *, past: bool = False) -> str:
    if past:
        return "was" if person in ("1s", "3s") else "were"
    return {"1s": "am", "3s": "is"}.get(person, "are")
