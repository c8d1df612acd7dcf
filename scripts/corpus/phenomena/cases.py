"""Case: objects, owners, what a preposition governs, and pronouns that take up a thing."""

from dataclasses import replace

from corpus.clauses import Clause, acting, being
from corpus.draw import OWNERS, PEOPLE, Draw
from corpus.phenomena.agreement import predicate, two_adjectives
from corpus.phrases import NounPhrase, Part, noun_phrase
from corpus.text import Bilingual, Pair, both, phrases, sentence
from corpus.words import (
    DATIVE,
    DITRANSITIVE,
    NOUN,
    POSITION,
    SEPARABLE,
    SIMPLY_WILLED,
    TRANSITIVE,
    VERB,
    WILLED,
    Noun,
    nouns_of,
)

OWNED = nouns_of("ware", "text", "home", "luggage", "animal")
# Nouns that `pronoun` takes up, one row for each of its kinds
THINGS = (
    nouns_of("machine"),
    nouns_of("ware", "opening", "vehicle", "text", "dish", "home", "sight", "luggage"),
    nouns_of("flat", "dish", "luggage", "clothing"),
    OWNED,
    nouns_of("ware"),
)
ON, UNDER, *BESIDE = phrases("spot")
SUPPORTS = {ON: "table chair", UNDER: "table chair bed cupboard"}
WITH, FOR, WITHOUT = (
    (Pair("with", "mit"), "dative"), (Pair("for", "für"), "accusative"), (Pair("without", "ohne"), "accusative"),
)  # fmt: skip
TWO_SENTENCES = "{} {} | {} {}"


def case(draw: Draw) -> Bilingual:
    """He gives the rich man a book. -> Er gibt dem reichen Mann ein Buch."""
    kind = draw.number(1, 4)
    if kind <= 2:
        return draw.in_any_tense(draw.action(among=DITRANSITIVE if kind == 1 else DATIVE, described=0.4))
    clause = draw.journey() if kind == 3 else draw.action(among=WILLED)
    companion = draw.person_besides(clause.subject)
    preposition, governed = draw.pick((WITH, FOR, WITHOUT) if kind == 4 else (WITH, WITHOUT))
    return draw.in_any_tense(clause.having(Part(*companion.after(preposition, governed), "means")))


def possessed(draw: Draw, noun: Noun) -> NounPhrase:
    """The thing of somebody: "the teacher's car", "das Auto des Lehrers"; "Anna's car", "Annas Auto"."""
    plural = draw.plural(noun, 0.2)
    adjective = draw.adjective_for(noun, 0.3)
    bare = noun_phrase(noun, "", adjective, plural=plural)
    if draw.happens(0.3):
        # After a name, as without an article, the endings are strong: Annas neues Auto, mit Annas neuem Auto
        return bare.within("{1}'s {0} | {1}s {0}", draw.name())
    person = draw.pick(PEOPLE)
    owner = noun_phrase(person, draw.pick(OWNERS) if person.belongs_to("kin") else "the")
    thing = replace(noun_phrase(noun, "the", adjective, plural=plural), english=bare.english)
    return thing.within("{1}'s {0} | {0} {1}", owner.case("genitive"))


def genitive(draw: Draw) -> Bilingual:
    """The teacher's car is new. -> Das Auto des Lehrers ist neu."""
    kind = draw.number(1, 3)
    if kind == 1:
        noun = draw.pick(OWNED)
        return being(possessed(draw, noun), predicate(draw.adjective_for(noun)))
    if kind == 2:
        verb = draw.pick([verb for verb in SIMPLY_WILLED if verb.frame == "accusative" and verb.takes_any("ware")])
        thing = possessed(draw, draw.pick([noun for noun in nouns_of(*verb.classes) if noun in OWNED]))
        return draw.in_any_tense(acting(draw.someone(), verb, thing))
    causes = [(Pair("because of", "wegen"), noun) for noun in nouns_of("weather", "task", "event")]
    preposition, noun = draw.pick(causes + [(Pair("during", "während"), noun) for noun in nouns_of("event")])
    determiner = "the" if noun.belongs_to("weather") else draw.pick(("the", "the", "this", "our"))
    cause = Part(*draw.described(noun, determiner, 0.4).after(preposition, "genitive"), "time")
    clause = draw.anything()
    clause = clause if clause.verb.is_any("no_past", "ambiguous_past") else clause.in_past()
    return clause.having(cause).time_first()


def spot(draw: Draw, governed: str, *, roomy: bool = False) -> Pair:
    """Somewhere on, under or beside something, in the given case; roomy enough for a person, or for a thing."""
    preposition = draw.pick((ON, *BESIDE) if roomy else (ON, UNDER, *BESIDE))
    if roomy:
        names = "chair bed" if preposition == ON else "door window table house car bed"
    else:
        names = SUPPORTS.get(preposition, "table chair bed cupboard box door window lamp clock computer")
        if draw.happens(0.25):
            preposition, names = Pair("in", "in"), "cupboard box suitcase bag kitchen"
    return draw.described(NOUN[draw.pick(names.split())], "the", 0.3).after(preposition, governed)


def preposition(draw: Draw) -> Bilingual:
    """He puts the book on the table. -> Er legt das Buch auf den Tisch."""
    kind = draw.number(1, 5)
    if kind <= 2:
        verb = POSITION["put" if kind == 1 else "place"]
        thing = draw.some(draw.pick(nouns_of(*verb.classes)), described=0.25)
        where = Part(*spot(draw, "accusative"), "direction")
        clause = acting(draw.someone(), verb, thing).having(where)
        if draw.happens(0.3):
            return clause.with_modal(draw.pick(("can", "must", "want to", "should")))
        return draw.perhaps_past(clause, 0.3)
    where = Part(*spot(draw, "dative"), "place")
    if kind == 3:
        return draw.journey()
    verb = POSITION[draw.pick(("lie", "stand", "sit"))]
    noun = draw.pick(nouns_of(*verb.classes))
    if verb.english == "sit":
        where = Part(*spot(draw, "dative", roomy=True), "place")
    clause = Clause(draw.some(noun, described=0.25), verb, (where,))
    return clause if kind == 4 else clause.in_progress()


def pronoun(draw: Draw) -> Bilingual:
    """The lamp is old, but it is beautiful. -> Die Lampe ist alt, aber sie ist schön."""
    kind = draw.number(1, 5)
    noun = draw.pick(THINGS[kind - 1])
    first, second = two_adjectives(draw, noun)
    is_plural = draw.happens(0.2)
    determiner = draw.pick(("the", "the", *OWNERS)) if noun.belongs_to("ware", "luggage") else "the"
    thing = noun_phrase(noun, determiner, plural=is_plural)
    it, opening = thing.taken_up(), being(thing, predicate(first))
    if kind == 1:
        works = Pair("work", "funktionieren") if is_plural else Pair("works", "funktioniert")
        still = ("{}, but {} still {} | {}, aber {} {} noch", "{}, but {} no longer {} | {}, aber {} {} nicht mehr")
        return both(draw.pick(still), opening, it, works)
    if kind == 2:
        return both("{}, but {} | {}, aber {}", opening, being(it, predicate(second)))
    return taken_up(draw, noun, thing, kind)


def taken_up(draw: Draw, noun: Noun, thing: NounPhrase, kind: int) -> Bilingual:
    """Two short sentences, or a clause and its reason, where a pronoun stands for the thing."""
    it, be = thing.taken_up(), Pair("are", "sind") if thing.is_plural else Pair("is", "ist")
    verbs = [verb for verb in TRANSITIVE + SEPARABLE if verb.takes(noun)]
    verb = draw.pick([verb for verb in verbs if not verb.is_any("no_past", "ambiguous_past")])
    subject = draw.someone()
    if kind == 3:
        answer = both("{} {} {} | {} {} {}", it, be, spot(draw, "dative"))
        return both(TWO_SENTENCES, both("where {} {}? | wo {} {}?", be, thing), sentence(answer))
    if kind == 4:
        done = acting(subject, verb, it).in_past()
        done = done.having(draw.past_time()) if draw.happens(0.6) else done
        these = Pair("these", "das") if thing.is_plural else Pair("this", "das")
        return both(TWO_SENTENCES, both("{} {} {}. | {} {} {}.", these, be, thing), sentence(done))
    verb = VERB[draw.pick(("buy", "look for"))]
    main = draw.in_past(acting(subject, verb, thing), timed=0.3)
    need = acting(subject.again(), VERB["need"], it)
    return both("{} {} | {}, {}", main, need.final("because {} | weil {}"))
