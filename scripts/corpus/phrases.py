"""Noun phrases and other constituents that carry both languages at once."""

from dataclasses import dataclass

from corpus import english, german
from corpus.nouns import Noun
from corpus.verbs import Verb
from corpus.words import Adjective

GERMAN_CASE = dict(zip(german.CASES, range(4), strict=True))
NUMBERS = {"two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs", "ten": "zehn"}


@dataclass(frozen=True)
class NounPhrase:
    """Something that can be subject or object; `forms` are the four German cases."""

    english: str
    english_object: str
    forms: german.Forms
    gender: str
    person: str
    is_pronoun: bool = False

    def case(self, name: str) -> str:
        return self.forms[GERMAN_CASE[name]]


@dataclass(frozen=True)
class Part:
    """A constituent besides subject and verb. The slot decides its place in either language (clauses.py)."""

    english: str
    german: str
    slot: str


def noun_phrase(
    noun: Noun, determiner: str = "the", adjective: Adjective | None = None, *, plural: bool = False
) -> NounPhrase:
    """For example (BOOK, "my", OLD, plural=True): "my old books", "meine alten Bücher".

    The determiner is "" (none), a number word, or a key of german.DETERMINERS.
    """
    words = [noun.english_plural if plural else noun.english]
    adjectives: tuple[str, ...] = ()
    if adjective:
        words.insert(0, adjective.english)
        adjectives = (adjective.german,)
    phrase = " ".join(words)
    shown = determiner.removesuffix(" (formal)")
    if shown == "a":
        shown = english.article(phrase)
    elif shown == "this" and plural:
        shown = "these"
    phrase = f"{shown} {phrase}".strip()
    german_determiner = NUMBERS.get(determiner, determiner)
    return NounPhrase(
        english=phrase,
        english_object=phrase,
        forms=german.inflect_phrase(noun, german_determiner, adjectives, plural=plural),
        gender="plural" if plural else noun.gender,
        person="3p" if plural else "3s",
    )


def pronoun(name: str) -> NounPhrase:
    shown = name.removesuffix(" (formal)")
    nominative, accusative, dative = german.PRONOUNS[name]
    persons = {"I": "1s", "you": "2s", "you (formal)": "formal", "we": "1p", "they": "3p"}
    genders = {"he": "masculine", "she": "feminine", "it": "neuter"}
    return NounPhrase(
        english=shown,
        english_object=english.OBJECT_PRONOUNS[shown],
        forms=(nominative, accusative, dative, ""),
        gender=genders.get(name, "plural"),
        person=persons.get(name, "3s"),
        is_pronoun=True,
    )


def it_for(phrase: NounPhrase) -> NounPhrase:
    """The pronoun that takes up a thing: English it or them, German by the gender of the antecedent."""
    forms = pronoun(german.IT[phrase.gender]).forms
    shown = pronoun("they" if phrase.gender == "plural" else "it")
    return NounPhrase(shown.english, shown.english_object, forms, phrase.gender, phrase.person, is_pronoun=True)


def name_phrase(name: str, gender: str) -> NounPhrase:
    return NounPhrase(name, name, (name, name, name, name + "s"), gender, "3s")


def object_part(verb: Verb, phrase: NounPhrase) -> Part:
    """The object as the verb governs it: a bare case, or a preposition with its case."""
    preposition, _, case = verb.frame.rpartition(" ")
    if preposition:
        return Part(phrase.english_object, german.prepositional(preposition, phrase.case(case)), "prepositional")
    return Part(phrase.english_object, phrase.case(case), "pronoun" if phrase.is_pronoun else case)


def recipient(phrase: NounPhrase) -> Part:
    return Part(phrase.english_object, phrase.case("dative"), "pronoun" if phrase.is_pronoun else "dative")
