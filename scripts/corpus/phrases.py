"""Noun phrases and other constituents that carry both languages at once."""

from dataclasses import dataclass, replace

from corpus.german import CASES, Forms, inflect_phrase, prepositional
from corpus.numbers import in_words
from corpus.tables import read_rows
from corpus.text import Bilingual, Pair, both
from corpus.words import Adjective, Noun, Verb

COUNTS = dict(map(in_words, (2, 3, 4, 5, 6, 10)))
IT = {"masculine": "he", "feminine": "she", "neuter": "it", "plural": "they"}


@dataclass(frozen=True)
class NounPhrase:
    """Something that can be subject or object; `forms` are the four German cases."""

    english: str
    english_object: str
    forms: Forms
    gender: str
    person: str
    is_pronoun: bool = False

    @property
    def german(self) -> str:
        return self.forms[0]

    @property
    def is_plural(self) -> bool:
        return self.person == "3p"

    def case(self, name: str) -> str:
        return self.forms[CASES.index(name)]

    def as_object(self, case: str) -> Pair:
        return Pair(self.english_object, self.case(case))

    def after(self, preposition: Pair, case: str) -> Pair:
        """Prepositional phrase: "with him", "mit ihm"."""
        text = prepositional(preposition.german, self.case(case))
        return Pair(f"{preposition.english} {self.english_object}", text)

    def within(self, template: str, *items: Bilingual) -> "NounPhrase":
        """The phrase with words around it in every case: within("{} of Anna | {} von Anna")."""
        forms = [both(template, Pair(self.english, form), *items) for form in self.forms]
        shown = forms[0].english
        return replace(self, english=shown, english_object=shown, forms=tuple(form.german for form in forms))


@dataclass(frozen=True)
class Part:
    """A constituent besides subject and verb. The slot decides its position in either language (clauses.py)."""

    english: str
    german: str
    slot: str


PRONOUNS = {
    name: NounPhrase(english, english_object, tuple(forms.split()), gender, person, is_pronoun=True)
    for name, english, english_object, forms, gender, person in read_rows("pronouns")
}


def noun_phrase(
    noun: Noun, determiner: str = "the", adjective: Adjective | None = None, *, plural: bool = False
) -> NounPhrase:
    """Noun phrase, for example (BOOK, "my", OLD, plural=True): "my old books", "meine alten Bücher".

    The determiner is "" (none), a number word, or a key of german.DETERMINERS.
    """
    shown = determiner.removesuffix(" (formal)")
    phrase = noun.english_plural if plural else noun.english
    if adjective:
        phrase = f"{adjective.english} {phrase}"
    if shown == "a":
        sounded_as_vowel = phrase[0] in "aeiou" and not phrase.startswith(("uni", "use"))
        shown = "an" if sounded_as_vowel else "a"
    elif shown == "this" and plural:
        shown = "these"
    phrase = f"{shown} {phrase}".strip()
    described = adjective.german if adjective else ""
    forms = inflect_phrase(noun, COUNTS.get(determiner, determiner), described, plural=plural)
    return NounPhrase(phrase, phrase, forms, "plural" if plural else noun.gender, "3p" if plural else "3s")


def it_for(phrase: NounPhrase) -> NounPhrase:
    """Pronoun that takes up a thing: English it or them, German by the gender of the antecedent."""
    shown = PRONOUNS["they" if phrase.is_plural else "it"]
    return replace(shown, forms=PRONOUNS[IT[phrase.gender]].forms, gender=phrase.gender, person=phrase.person)


def pronoun_for(phrase: NounPhrase) -> NounPhrase:
    """Pronoun that takes up a person: he, she, it (a child) or they; a pronoun remains."""
    if phrase.is_pronoun:
        return phrase
    if phrase.gender == "neuter":
        return PRONOUNS["she" if phrase.english.endswith("girl") else "it"]  # das Mädchen, das Kind
    return PRONOUNS[IT[phrase.gender]]


def name_phrase(name: str, gender: str) -> NounPhrase:
    return NounPhrase(name, name, (name, name, name, name + "s"), gender, "3s")


def object_part(verb: Verb, phrase: NounPhrase) -> Part:
    """The object as the verb governs it: a bare case, or a preposition with its case."""
    preposition, _, case = verb.frame.rpartition(" ")
    if preposition:
        return Part(phrase.english_object, prepositional(preposition, phrase.case(case)), "prepositional")
    return Part(*phrase.as_object(case), "pronoun" if phrase.is_pronoun else case)


def recipient(phrase: NounPhrase) -> Part:
    return Part(*phrase.as_object("dative"), "pronoun" if phrase.is_pronoun else "dative")
