"""Noun phrases and other constituents that carry both languages at once."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from corpus.german import CASES, ENDINGS, Forms, inflect_phrase, prepositional
from corpus.numbers import in_words
from corpus.text import Bilingual, Pair, both, read_rows, spaced
from corpus.words import NO_ADJECTIVE, Adjective, Noun, Verb

COUNTS = dict(map(in_words, (2, 3, 4, 5, 6, 10)))
IT = {"masculine": "he", "feminine": "she", "neuter": "it", "plural": "they"}


class Part(NamedTuple):
    """A constituent besides subject and verb. The slot decides its position in either language (clauses.py)."""

    english: str
    german: str
    slot: str

    @property
    def is_city(self) -> bool:
        return self.english.removeprefix("to ").istitle()


@dataclass(frozen=True)
class NounPhrase:
    """Something that can be subject or object; `forms` are the four German cases, of pronouns the first three."""

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

    @property
    def be(self) -> Pair:
        """Present of "be" with a noun or a pronoun of the third person."""
        return Pair("are", "sind") if self.is_plural else Pair("is", "ist")

    def case(self, name: str) -> Pair:
        return Pair(self.english_object, self.forms[CASES.index(name)])

    def as_part(self, case: str) -> Part:
        return Part(*self.case(case), "pronoun" if self.is_pronoun else case)

    def as_object_of(self, verb: Verb) -> Part:
        """The object as the verb governs it: a bare case, or a preposition with its case."""
        preposition, _, case = verb.frame.rpartition(" ")
        return Part(*self.after(Pair("", preposition), case), "prepositional") if preposition else self.as_part(case)

    def is_same_person(self, other: "NounPhrase") -> bool:
        """Return True if subject and object would need a reflexive, or repeat themselves."""
        return self.english_object == other.english_object or {self.person, other.person} == {"1s", "1p"}

    def after(self, preposition: Pair, case: str) -> Pair:
        """Prepositional phrase: "with him", "mit ihm"."""
        english, german = self.case(case)
        return Pair(spaced(preposition.english, english), prepositional(preposition.german, german))

    def within(self, template: str, *items: Bilingual) -> "NounPhrase":
        """The phrase with words around it in every case: within("{} of Anna | {} von Anna")."""
        forms = [both(template, Pair(self.english, form), *items) for form in self.forms]
        shown = forms[0].english
        return replace(self, english=shown, english_object=shown, forms=tuple(form.german for form in forms))

    def as_it(self) -> "NounPhrase":
        """Pronoun for a thing: English it or them, German by the gender of the antecedent."""
        shown = PRONOUNS["they" if self.is_plural else "it"]
        return replace(shown, forms=PRONOUNS[IT[self.gender]].forms, gender=self.gender, person=self.person)

    def relative(self, english: str) -> "NounPhrase":
        """Relative pronoun: "who" or "that" for this phrase, "der", "die" or "das"."""
        return replace(self, english=english, english_object=english, forms=ENDINGS["relative"][self.gender])

    def as_pronoun(self) -> "NounPhrase":
        """Pronoun for a person: he, she, it (a child) or they; a pronoun remains."""
        if self.is_pronoun:
            return self
        is_girl = self.gender == "neuter" and self.english.endswith("girl")  # das Mädchen, but das Kind is it
        return PRONOUNS["she" if is_girl else IT[self.gender]]


PRONOUNS = {
    name: NounPhrase(english, english_object, tuple(forms.split()), gender, person, is_pronoun=True)
    for name, english, english_object, forms, gender, person in read_rows("pronouns")
}


def noun_phrase(
    noun: Noun, determiner: str = "the", adjective: Adjective = NO_ADJECTIVE, *, plural: bool = False
) -> NounPhrase:
    """Noun phrase, for example (BOOK, "my", OLD, plural=True): "my old books", "meine alten Bücher".

    The determiner is "" (none), a number word, or a key of german.DETERMINERS.
    """
    shown = determiner.removesuffix(" (formal)")
    phrase = spaced(adjective.english, noun.english_plural if plural else noun.english)
    if shown == "a" and phrase[0] in "aeiou" and not phrase.startswith(("uni", "use")):
        shown = "an"
    elif shown == "this" and plural:
        shown = "these"
    phrase = spaced(shown, phrase)
    forms = inflect_phrase(noun, COUNTS.get(determiner, determiner), adjective, plural=plural)
    return NounPhrase(phrase, phrase, forms, "plural" if plural else noun.gender, "3p" if plural else "3s")
