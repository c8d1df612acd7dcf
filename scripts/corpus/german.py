"""German inflection: articles, adjective endings, contractions and verb forms."""

from corpus.tables import read_rows
from corpus.words import Noun, Verb

CASES = ("nominative", "accusative", "dative", "genitive")
PERSONS = ("1s", "2s", "3s", "1p", "3p", "formal")  # ich, du, er, wir, sie, Sie
Forms = tuple[str, ...]  # one per case or person

# declension -> gender -> four endings. STRONG: adjectives without an article before them
ENDINGS: dict[str, dict[str, Forms]] = {}
for _declension, _gender, *_forms in read_rows("endings"):
    ENDINGS.setdefault(_declension, {})[_gender] = tuple(_forms)
RELATIVE, STRONG = ENDINGS["relative"], ENDINGS["strong"]

# English determiner -> German stem, its endings, and those of an adjective after it
DETERMINERS = {
    english: (stem, ENDINGS[endings], ENDINGS[adjective_endings])
    for english, stem, endings, adjective_endings in read_rows("determiners")
}
CONTRACTIONS = dict(read_rows("contractions"))
IRREGULAR = {verb: tuple(forms) for verb, *forms in read_rows("irregular")}
REFLEXIVE = {"1s": "mich", "2s": "dich", "1p": "uns"}


def inflect_noun(noun: Noun, *, plural: bool) -> Forms:
    """Four cases of a noun; the dative plural takes -n unless it ends in -n or -s."""
    if not plural:
        return noun.german, noun.oblique, noun.oblique, noun.genitive
    form = noun.german_plural
    return form, form, form if form[-1] in "ns" else form + "n", form


def adjective_stem(adjective: str) -> str:
    """Form that endings attach to: teuer -> teur-, dunkel -> dunkl-, müde -> müd-."""
    if adjective.endswith("el"):
        return adjective[:-2] + "l"
    return {"teuer": "teur"}.get(adjective, adjective.removesuffix("e"))


def inflect_phrase(noun: Noun, determiner: str, adjective: str = "", *, plural: bool = False) -> Forms:
    """Four cases of determiner, adjective and noun.

    The determiner is an English key of DETERMINERS; anything else ("" or "drei") stands uninflected before
    strong endings.
    """
    gender = "plural" if plural else noun.gender
    stem, endings, adjective_endings = DETERMINERS.get(determiner, (determiner, {gender: ("",) * 4}, STRONG))
    described = adjective_stem(adjective) if adjective else ""
    columns = zip(endings[gender], adjective_endings[gender], inflect_noun(noun, plural=plural), strict=True)
    phrases = ([stem + ending, described and described + second, form] for ending, second, form in columns)
    return tuple(" ".join(filter(None, words)) for words in phrases)


def prepositional(preposition: str, phrase: str) -> str:
    """Preposition and phrase, contracted where German does: in + dem Park -> im Park."""
    joined = f"{preposition} {phrase}"
    for long, short in CONTRACTIONS.items():
        if joined.startswith(long + " "):
            return short + joined.removeprefix(long)
    return joined


def infinitive_with_zu(verb: Verb) -> str:
    return f"{verb.prefix}zu{verb.infinitive}" if verb.prefix else f"zu {verb.infinitive}"


def conjugate(forms: Forms, person: str) -> str:
    """The form of a person: conjugate(IRREGULAR["wäre"], "2s") gives "wärst"."""
    return forms[PERSONS.index(person)]
