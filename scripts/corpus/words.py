"""Nouns, adjectives and verbs in both languages, one row of a table each."""

from dataclasses import dataclass
from functools import cache

from corpus.text import read_objects


@dataclass(frozen=True)
class Noun:
    """A noun; `classes` say which verbs and adjectives go with it."""

    english: str
    english_plural: str  # "-" where there is none
    singular: tuple[str, ...]  # four cases
    plural: tuple[str, ...]
    gender: str
    classes: tuple[str, ...]

    @property
    def countable(self) -> bool:
        return self.english_plural != "-"

    def belongs_to(self, *classes: str) -> bool:
        """Return True if the noun is in at least one of the classes."""
        return not set(classes).isdisjoint(self.classes)


@dataclass(frozen=True)
class Adjective:
    """An adjective; `classes` are those of the nouns that it describes."""

    english: str
    comparative: str
    superlative: str
    german: str
    german_comparative: str
    german_superlative: str
    stem: str  # German, before an ending: "teur", "dunkl"
    classes: tuple[str, ...]
    opposites: tuple[str, ...]  # English adjectives that contradict it


@dataclass(frozen=True)
class Verb:
    """A verb; `frame` is how its object stands ("accusative", "auf accusative"), `classes` what its object may be."""

    group: str
    english: str
    particle: str  # movable: "picks him up"
    tail: str  # fixed: "waits for him"
    third_person: str
    progressive: str
    past: str
    past_participle: str
    infinitive: str  # German, without the prefix
    prefix: str
    present: tuple[str, ...]  # ich, du, er, wir, sie, Sie
    participle: str
    auxiliary: str
    imperative: str
    reflexive: str  # "sich"
    frame: str
    classes: tuple[str, ...]
    traits: tuple[str, ...]  # state, no_past, sudden, ambiguous_past, careful
    locations: tuple[str, ...]  # English nouns of where it happens

    @property
    def name(self) -> str:
        return " ".join(part for part in (self.english, self.particle, self.tail) if part)

    def takes(self, noun: Noun) -> bool:
        return noun.belongs_to(*self.classes)

    def takes_any(self, *classes: str) -> bool:
        return not set(classes).isdisjoint(self.classes)

    def is_any(self, *traits: str) -> bool:
        return not set(traits).isdisjoint(self.traits)


NOUNS = read_objects("nouns", Noun)
NOUN = {noun.english: noun for noun in NOUNS}
ADJECTIVES = read_objects("adjectives", Adjective)
NO_ADJECTIVE = Adjective("", "", "", "", "", "", "", (), ())
ADJECTIVE = {adjective.english: adjective for adjective in ADJECTIVES}
VERBS = read_objects("verbs", Verb)


@cache
def nouns_of(*classes: str) -> tuple[Noun, ...]:
    """Nouns of at least one of the classes, in the order of the table."""
    return tuple(noun for noun in NOUNS if noun.belongs_to(*classes))


@cache
def verbs_of(*groups: str) -> tuple[Verb, ...]:
    """Verbs of the groups, in the order of the table."""
    return tuple(verb for verb in VERBS if verb.group in groups)


TRANSITIVE = verbs_of("transitive")
POSITION = {verb.name: verb for verb in verbs_of("position")}
BE, HAVE, KNOW_THAT, *_others = verbs_of("other")
OTHER = {verb.name: verb for verb in (BE, HAVE, *_others)}
VERB = {verb.name: verb for verb in verbs_of("transitive", "separable", "intransitive", "motion")}

EVERYDAY = verbs_of("transitive", "separable", "ditransitive", "prepositional")
WILLED = tuple(verb for verb in EVERYDAY if verb.imperative)  # what one can want to do, or be told to
SIMPLY_WILLED = tuple(verb for verb in WILLED if verb.group != "ditransitive")
