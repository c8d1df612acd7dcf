"""German inflection: articles, adjective endings, contractions and verb forms."""

from corpus.text import read_rows, spaced
from corpus.words import Adjective, Noun

CASES = ("nominative", "accusative", "dative", "genitive")
PERSONS = ("1s", "2s", "3s", "1p", "3p", "formal")  # ich, du, er, wir, sie, Sie
Forms = tuple[str, ...]  # one per case or person

# declension -> gender -> four endings. Strong: adjectives without an article before them
ENDINGS: dict[str, dict[str, Forms]] = {}
for _declension, _gender, *_forms in read_rows("endings"):
    ENDINGS.setdefault(_declension, {})[_gender] = tuple(_forms)
# English determiner -> German stem, the declension of its endings, and that of an adjective after it
DETERMINERS = {english: row for english, *row in read_rows("determiners")}
CONTRACTIONS = dict(read_rows("contractions"))
IRREGULAR = {verb: tuple(forms) for verb, *forms in read_rows("irregular")}


def inflect_phrase(noun: Noun, determiner: str, adjective: Adjective, *, plural: bool = False) -> Forms:
    """Four cases of determiner, adjective and noun.

    The determiner is an English key of DETERMINERS; anything else ("" or "drei") stands uninflected before
    strong endings.
    """
    gender = "plural" if plural else noun.gender
    stem, own, adjectival = DETERMINERS.get(determiner, (determiner, "none", "strong"))
    forms = noun.plural if plural else noun.singular
    rows = zip(ENDINGS[own][gender], ENDINGS[adjectival][gender], forms, strict=True)
    described = adjective.stem
    return tuple(spaced(stem + ending, described and described + second, form) for ending, second, form in rows)


def prepositional(preposition: str, phrase: str) -> str:
    """Preposition and phrase, contracted where German does: in + dem Park -> im Park."""
    article, space, rest = phrase.partition(" ")
    joined = spaced(preposition, article)
    return CONTRACTIONS.get(joined, joined) + space + rest


def conjugate(forms: Forms, person: str) -> str:
    """The form of a person: conjugate(IRREGULAR["wäre"], "2s") gives "wärst"."""
    return forms[PERSONS.index(person)]
