"""Clauses built from the verb tables: an action with its object, a journey, a state."""

from corpus import choices
from corpus.chance import Chance
from corpus.clauses import Clause
from corpus.phrases import NounPhrase, Part, object_part, recipient
from corpus.verbs import BE, DATIVE, DITRANSITIVE, INTRANSITIVE, MOTION, PREPOSITIONAL, SEPARABLE, TRANSITIVE
from corpus.words import NOUN, Verb, nouns_of

DEFINITE_WORDS = (
    "the", "this", "these", "my", "your", "his", "her", "our", "their", "all", "me", "him", "us", "them", "it",
)  # fmt: skip


def object_of(chance: Chance, verb: Verb, *, described: float = 0.3) -> NounPhrase:
    """Something that the verb can be done to, by the classes in its table."""
    if verb.classes[0] == "person" and chance.happens(0.6):
        return choices.person_object(chance)
    return choices.some_phrase(chance, chance.pick(nouns_of(*verb.classes)), described=described)


def acting(subject: NounPhrase, verb: Verb, thing: NounPhrase) -> Clause:
    return Clause(subject, verb, (object_part(verb, thing),))


def being(subject: NounPhrase, predicate: Part) -> Clause:
    return Clause(subject, BE, (predicate,))


def action(
    chance: Chance, subject: NounPhrase | None = None, *, among: tuple[Verb, ...] = (), described: float = 0.3
) -> Clause:
    """Someone does something to something; in the present tense, without time or location."""
    subject = subject or choices.someone(chance)
    verb = chance.pick(among or chance.pick((TRANSITIVE, TRANSITIVE, TRANSITIVE, SEPARABLE)))
    clause = Clause(subject, verb)
    if verb in DITRANSITIVE:
        clause = clause.having(recipient(choices.person_besides(chance, subject)))
    if verb.classes:
        goal = chance.until(
            lambda chance: object_of(chance, verb, described=described),
            lambda goal: not choices.same_person(subject, goal),
        )
        clause = clause.having(object_part(verb, goal))
    if verb.is_any("careful") and is_definite(clause) and chance.happens(0.2):
        return clause.having(choices.manner(chance, "carefully", "quickly", "slowly", "quietly"))
    return clause


def journey(chance: Chance, subject: NounPhrase | None = None) -> Clause:
    """Someone goes somewhere; flights go to cities, travels too."""
    verb = chance.pick(MOTION)
    far = verb.english in ("fly", "travel")
    goal = choices.city_destination(chance) if far else choices.destination(chance, by_car=verb.english == "drive")
    if choices.is_city(goal) and verb.english in ("go", "walk"):
        goal = choices.HOME
    clause = Clause(subject or choices.someone(chance), verb, (goal,))
    if far or goal.english == "home" or not chance.happens(0.25):
        return clause
    together = ("together",) if clause.subject.person in ("1p", "3p") else ()
    return clause.having(choices.manner(chance, "quickly", "slowly", "alone", *together))


def state(chance: Chance, subject: NounPhrase | None = None) -> Clause:
    """Someone is tired, happy, ..."""
    mood = choices.listed(chance, "mood", "predicate")
    return being(subject or choices.someone(chance), mood)


def activity(chance: Chance, subject: NounPhrase | None = None) -> Clause:
    """Someone works, sleeps, ...; perhaps somewhere."""
    verb = chance.pick(INTRANSITIVE)
    clause = Clause(subject or choices.someone(chance), verb)
    if not verb.locations or chance.happens(0.35):
        return clause
    if chance.happens(0.2):
        return clause.having(choices.in_a_city(chance))
    return clause.having(choices.location(chance, NOUN[chance.pick(verb.locations)]))


def anything(chance: Chance, subject: NounPhrase | None = None) -> Clause:
    """A clause of any kind about a person."""
    if chance.happens(0.6):
        groups = (TRANSITIVE, TRANSITIVE, TRANSITIVE, SEPARABLE, DITRANSITIVE, DATIVE, PREPOSITIONAL)
        return action(chance, subject, among=chance.pick(groups))
    return chance.pick((journey, activity))(chance, subject)


def is_definite(clause: Clause) -> bool:
    """Return True if every object is definite, so that German negates it with nicht and not with kein."""
    objects = [part.english for part in clause.parts if part.slot in ("accusative", "dative", "prepositional")]
    return all(text.split()[0] in DEFINITE_WORDS or text.istitle() for text in objects)
