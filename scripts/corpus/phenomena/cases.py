"""What the case shows: objects, owners, and what a preposition governs."""

from dataclasses import replace

from corpus import build, choices, german, tenses
from corpus.chance import Chance
from corpus.clauses import (
    Clause,
    Pair,
    fronted,
    say,
    statement,
)
from corpus.nouns import NOUN, Noun, nouns_of
from corpus.phenomena.agreement import predicate, suitable
from corpus.phenomena.verbs import SIMPLY_WILLED, WILLED
from corpus.phrases import NounPhrase, Part, noun_phrase, object_part

OWNED = nouns_of("ware", "text", "home", "luggage", "animal")
TWO_WAY = (
    ("on", "auf"),
    ("under", "unter"),
    ("next to", "neben"),
    ("behind", "hinter"),
    ("in front of", "vor"),
)
BESIDE = {
    "on": "table chair",
    "under": "table chair bed cupboard",
    "next to": "table chair bed cupboard box door window lamp clock computer",
}
WITH_CASE = (("with", "mit", "dative"), ("for", "für", "accusative"), ("without", "ohne", "accusative"))


def case(chance: Chance) -> Pair:
    """He gives the rich man a book. -> Er gibt dem reichen Mann ein Buch."""
    kind = chance.number(1, 4)
    if kind <= 2:
        clause = build.action(chance, among=build.DITRANSITIVE if kind == 1 else build.DATIVE, described=0.4)
    else:
        clause = build.journey(chance) if kind == 3 else build.action(chance, among=WILLED)
        companion = build.person_besides(chance, clause.subject)
        english, preposition, governed = chance.pick(WITH_CASE if kind == 4 else WITH_CASE[::2])
        german_text = german.prepositional(preposition, companion.case(governed))
        clause = clause.with_part(Part(f"{english} {companion.english_object}", german_text, "means"))
    return say(statement(tenses.in_any_tense(chance, clause)))


def possessed(chance: Chance, noun: Noun, *, described: float = 0.3) -> NounPhrase:
    """The thing of somebody: "the teacher's car", "das Auto des Lehrers"; "Anna's car", "Annas Auto"."""
    plural = noun.countable and chance.happens(0.2)
    adjective = choices.adjective_for(chance, noun, described)
    if chance.happens(0.3):
        owner = choices.a_name(chance)
        bare = noun_phrase(noun, "", adjective, plural=plural)
        # After a name, as without an article, the endings are strong: Annas neues Auto, mit Annas neuem Auto
        nominative, accusative, dative, genitive = (f"{owner.english}s {form}" for form in bare.forms)
        shown = f"{owner.english}'s {bare.english}"
    else:
        person = chance.pick(choices.PEOPLE)
        determiner = chance.pick(choices.OWNERS) if "kin" in person.classes else "the"
        owner = noun_phrase(person, determiner)
        thing = noun_phrase(noun, "the", adjective, plural=plural)
        shown = f"{owner.english}'s {thing.english.removeprefix('the ')}"
        nominative, accusative, dative, genitive = (f"{form} {owner.case('genitive')}" for form in thing.forms)
    forms = (nominative, accusative, dative, genitive)
    return NounPhrase(shown, shown, forms, "plural" if plural else noun.gender, "3p" if plural else "3s")


def genitive(chance: Chance) -> Pair:
    """The teacher's car is new. -> Das Auto des Lehrers ist neu."""
    kind = chance.number(1, 3)
    if kind == 1:
        noun = chance.pick(OWNED)
        return say(statement(Clause(possessed(chance, noun), build.BE, (predicate(suitable(chance, noun)),))))
    if kind == 2:
        verb = chance.pick(
            tuple(verb for verb in SIMPLY_WILLED if verb.frame == "accusative" and "ware" in verb.classes)
        )
        thing = possessed(chance, chance.pick([noun for noun in nouns_of(*verb.classes) if noun in OWNED]))
        clause = Clause(choices.someone(chance), verb, (object_part(verb, thing),))
        return say(statement(tenses.in_any_tense(chance, clause)))
    english, preposition, noun = chance.pick(
        [("because of", "wegen", noun) for noun in nouns_of("weather", "task", "event")]
        + [("during", "während", noun) for noun in nouns_of("event")]
    )
    determiner = "the" if "weather" in noun.classes else chance.pick(("the", "the", "this", "our"))
    cause = noun_phrase(noun, determiner, choices.adjective_for(chance, noun, 0.4))
    part = Part(f"{english} {cause.english}", f"{preposition} {cause.case('genitive')}", "time")
    clause = build.anything(chance)
    clause = (
        replace(clause, tense="past") if clause.verb.name not in build.NOT_IN_PAST + build.AMBIGUOUS_PAST else clause
    )
    return say(fronted(clause.with_part(part), part))


def spot(chance: Chance, governed: str, *, roomy: bool = False) -> tuple[str, str]:
    """A place on, under or beside something, in the given case; roomy enough for a person, or for a thing."""
    english, preposition = chance.pick((TWO_WAY[0], *TWO_WAY[2:]) if roomy else TWO_WAY)
    names = "door window table house car bed" if roomy else BESIDE.get(english, BESIDE["next to"])
    if roomy and english == "on":
        names = "chair bed"
    elif not roomy and chance.happens(0.25):
        english, preposition, names = "in", "in", "cupboard box suitcase bag kitchen"
    noun = NOUN[chance.pick(names.split())]
    phrase = noun_phrase(noun, "the", choices.adjective_for(chance, noun, 0.3))
    return f"{english} {phrase.english}", german.prepositional(preposition, phrase.case(governed))


def preposition(chance: Chance) -> Pair:
    """He puts the book on the table. -> Er legt das Buch auf den Tisch."""
    kind = chance.number(1, 5)
    if kind <= 2:
        verb = build.POSITION["put" if kind == 1 else "place"]
        noun = chance.pick(nouns_of(*verb.classes))
        thing = choices.some_phrase(chance, noun, described=0.25)
        english, german_text = spot(chance, "accusative")
        where = Part(english, german_text, "direction")
        clause = Clause(choices.someone(chance), verb, (object_part(verb, thing), where))
        if chance.happens(0.3):
            return say(statement(replace(clause, modal=chance.pick(("can", "must", "want to", "should")))))
        return say(statement(tenses.in_past(chance, clause) if chance.happens(0.3) else clause))
    english, german_text = spot(chance, "dative")
    where = Part(english, german_text, "place")
    if kind == 3:
        return say(statement(build.journey(chance)))
    verb = build.POSITION[chance.pick(("lie", "stand", "sit"))]
    noun = chance.pick(nouns_of(*verb.classes))
    if verb.english == "sit":
        where = Part(*spot(chance, "dative", roomy=True), "place")
    subject = choices.some_phrase(chance, noun, described=0.25)
    clause = Clause(subject, verb, (where,))
    return say(statement(clause if kind == 4 else tenses.in_progress(clause)))
