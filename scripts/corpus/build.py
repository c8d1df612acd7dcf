"""Clauses built from the verb tables: an action with its object, a journey, a state."""

from collections.abc import Callable

from corpus import choices, verbs
from corpus.chance import Chance
from corpus.clauses import Clause
from corpus.nouns import NOUN, nouns_of
from corpus.phrases import NounPhrase, Part, object_part, pronoun, recipient
from corpus.verbs import Verb, read_verbs
from corpus.words import MOODS, read_pairs

TRANSITIVE = read_verbs(verbs.TRANSITIVE, "accusative")
SEPARABLE = read_verbs(verbs.SEPARABLE, "accusative")
DITRANSITIVE = read_verbs(verbs.DITRANSITIVE, "accusative")
DATIVE = read_verbs(verbs.DATIVE, "dative")
PREPOSITIONAL = read_verbs(verbs.PREPOSITIONAL)
REFLEXIVE = read_verbs(verbs.REFLEXIVE)
INTRANSITIVE = read_verbs(verbs.INTRANSITIVE)
MOTION = read_verbs(verbs.MOTION)
POSITION = {verb.name: verb for verb in read_verbs(verbs.POSITION, "accusative")}
OTHERS = read_verbs(verbs.OTHERS, "accusative")
BE, HAVE = OTHERS[:2]
KNOW_THAT = OTHERS[2]
OTHER = {verb.name: verb for verb in OTHERS if verb is not KNOW_THAT}

STATES = (
    "like",
    "love",
    "know",
    "need",
    "understand",
    "trust",
    "be interested in",
    "remember",
    "see",
    "meet",
)
NOT_IN_PAST = ("like", "love", "know")
NOT_ONGOING = (
    *STATES,
    "find",
    "lose",
    "forget",
    "look forward to",
    "hurry",
    "stay",
    "fall asleep",
    "wake up",
    "arrive",
)
CAREFUL = (
    "read",
    "write",
    "open",
    "close",
    "wash",
    "clean",
    "carry",
    "pack",
    "repair",
    "eat",
    "drink",
    "check",
)
WHERE = {
    "sleep": "hotel garden hospital park village library",
    "work": "hotel restaurant school factory office hospital library museum bakery pharmacy airport castle",
    "dance": "park garden restaurant beach theatre hotel",
    "wait": "station airport park hotel church cinema university bridge school market lake",
    "laugh": "park cinema theatre school garden kitchen",
    "arrive": "station airport hotel village city castle",
    "go shopping": "supermarket market city village bakery",
    "study": "university library city",
}
AMBIGUOUS_PAST = ("read", "put", "cost")  # "I read": only the time tells the tense


def object_of(chance: Chance, verb: Verb, *, described: float = 0.3, plural: float = 0.2) -> NounPhrase:
    """Something that the verb can be done to, by the classes in its table."""
    if verb.classes[0] == "person" and chance.happens(0.6):
        return choices.person_object(chance)
    nouns = nouns_of(*verb.classes)
    return choices.some_phrase(chance, chance.pick(nouns), described=described, plural=plural)


def same_person(first: NounPhrase, second: NounPhrase) -> bool:
    """True if object and subject would need a reflexive, or repeat themselves."""
    return first.english_object == second.english_object or (first.person, second.person) in (
        ("1s", "1p"),
        ("1p", "1s"),
    )


def person_besides(chance: Chance, subject: NounPhrase) -> NounPhrase:
    return until(lambda: choices.person_object(chance), lambda phrase: not same_person(subject, phrase))


def until(make: Callable[[], NounPhrase], accept: Callable[[NounPhrase], bool]) -> NounPhrase:
    while not accept(made := make()):
        pass
    return made


def action(
    chance: Chance, subject: NounPhrase | None = None, *, among: tuple[Verb, ...] = (), described: float = 0.3
) -> Clause:
    """Someone does something to something; in the present tense, without time or place."""
    subject = subject or choices.someone(chance)
    verb = chance.pick(among or chance.pick((TRANSITIVE, TRANSITIVE, TRANSITIVE, SEPARABLE)))
    parts: list[Part] = []
    if verb in DITRANSITIVE:
        parts.append(recipient(person_besides(chance, subject)))
    if verb.classes:
        goal = until(lambda: object_of(chance, verb, described=described), lambda goal: not same_person(subject, goal))
        parts.append(object_part(verb, goal))
    clause = Clause(subject, verb, tuple(parts))
    if verb.english in CAREFUL and is_definite(clause) and chance.happens(0.2):
        return clause.with_part(choices.manner(chance, "carefully", "quickly", "slowly", "quietly"))
    return clause


def journey(chance: Chance, subject: NounPhrase | None = None) -> Clause:
    """Someone goes somewhere; flights go to cities, travels too."""
    verb = chance.pick(MOTION)
    far = verb.english in ("fly", "travel")
    goal = choices.city_destination(chance) if far else choices.destination(chance, by_car=verb.english == "drive")
    if goal.english.removeprefix("to ").istitle() and verb.english in ("go", "walk"):
        goal = Part("home", "nach Hause", "direction")
    clause = Clause(subject or choices.someone(chance), verb, (goal,))
    if far or goal.english == "home" or not chance.happens(0.25):
        return clause
    together = ("together",) if clause.subject.person in ("1p", "3p") else ()
    return clause.with_part(choices.manner(chance, "quickly", "slowly", "alone", *together))


def state(chance: Chance, subject: NounPhrase | None = None) -> Clause:
    """Someone is tired, happy, ..."""
    english, german = chance.pick(read_pairs(MOODS))
    return Clause(subject or choices.someone(chance), BE, (Part(english, german, "predicate"),))


def activity(chance: Chance, subject: NounPhrase | None = None) -> Clause:
    """Someone works, sleeps, ...; perhaps somewhere."""
    verb = chance.pick(INTRANSITIVE)
    clause = Clause(subject or choices.someone(chance), verb)
    if verb.name not in WHERE or chance.happens(0.35):
        return clause
    if chance.happens(0.2):
        return clause.with_part(choices.in_a_city(chance))
    return clause.with_part(choices.location(chance, NOUN[chance.pick(WHERE[verb.name].split())]))


def anything(chance: Chance, subject: NounPhrase | None = None) -> Clause:
    """A clause of any kind about a person."""
    if chance.happens(0.6):
        groups = (TRANSITIVE, TRANSITIVE, TRANSITIVE, SEPARABLE, DITRANSITIVE, DATIVE, PREPOSITIONAL)
        return action(chance, subject, among=chance.pick(groups))
    return chance.pick((journey, activity))(chance, subject)


def pronoun_for(phrase: NounPhrase) -> NounPhrase:
    """Takes up a person spoken of: he, she, it (a child) or they; I, you and we stay what they are."""
    if phrase.is_pronoun:
        return phrase
    if phrase.gender == "neuter":
        return pronoun("she" if phrase.english.endswith("girl") else "it")  # das Mädchen, das Kind
    return pronoun({"masculine": "he", "feminine": "she", "plural": "they"}[phrase.gender])


DEFINITE_WORDS = [
    "the",
    "this",
    "these",
    "my",
    "your",
    "his",
    "her",
    "our",
    "their",
    "all",
    "me",
    "him",
    "us",
    "them",
    "it",
]


def is_definite(clause: Clause) -> bool:
    """True if every object is definite, so that German negates it with nicht and not with kein."""
    objects = [part.english for part in clause.parts if part.slot in ("accusative", "dative", "prepositional")]
    return all(text.split()[0] in DEFINITE_WORDS or text.istitle() for text in objects)


def simply_willed() -> tuple[Verb, ...]:
    """Those of them that need nobody to give, show or send something to."""
    return tuple(verb for verb in willed() if verb not in DITRANSITIVE)


def willed() -> tuple[Verb, ...]:
    """The verbs that one can want to do, or be told to."""
    return tuple(verb for verb in TRANSITIVE + SEPARABLE + DITRANSITIVE + PREPOSITIONAL if verb.imperative)
