"""Case: objects, owners, what a preposition governs, and pronouns that take up a thing."""

from dataclasses import replace

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import Clause
from corpus.phenomena.agreement import predicate, two_adjectives
from corpus.phrases import NounPhrase, Part, it_for, noun_phrase, pronoun_for
from corpus.tables import phrases
from corpus.text import Bilingual, Pair, both, say, sentence
from corpus.verbs import DATIVE, DITRANSITIVE, POSITION, SEPARABLE, SIMPLY_WILLED, TRANSITIVE, VERB, WILLED
from corpus.words import NOUN, Noun, nouns_of

OWNED = nouns_of("ware", "text", "home", "luggage", "animal")
THINGS = nouns_of("ware", "opening", "vehicle", "text", "dish", "home", "sight", "luggage")
FINDABLE = nouns_of("flat", "dish", "luggage", "clothing")
ON, UNDER, *BESIDE = phrases("spot")
SUPPORTS = {ON: "table chair", UNDER: "table chair bed cupboard"}
WITH = (Pair("with", "mit"), "dative")
FOR = (Pair("for", "für"), "accusative")
WITHOUT = (Pair("without", "ohne"), "accusative")


def case(chance: Chance) -> Pair:
    """He gives the rich man a book. -> Er gibt dem reichen Mann ein Buch."""
    kind = chance.number(1, 4)
    if kind <= 2:
        clause = build.action(chance, among=DITRANSITIVE if kind == 1 else DATIVE, described=0.4)
    else:
        clause = build.journey(chance) if kind == 3 else build.action(chance, among=WILLED)
        companion = choices.person_besides(chance, clause.subject)
        preposition, governed = chance.pick((WITH, FOR, WITHOUT) if kind == 4 else (WITH, WITHOUT))
        clause = clause.having(Part(*companion.after(preposition, governed), "means"))
    return say(tenses.in_any_tense(chance, clause))


def possessed(chance: Chance, noun: Noun) -> NounPhrase:
    """The thing of somebody: "the teacher's car", "das Auto des Lehrers"; "Anna's car", "Annas Auto"."""
    plural = choices.perhaps_plural(chance, noun, 0.2)
    adjective = choices.adjective_for(chance, noun, 0.3)
    bare = noun_phrase(noun, "", adjective, plural=plural)
    if chance.happens(0.3):
        # After a name, as without an article, the endings are strong: Annas neues Auto, mit Annas neuem Auto
        return bare.within("{1}'s {0} | {1}s {0}", choices.a_name(chance))
    person = chance.pick(choices.PEOPLE)
    owner = noun_phrase(person, chance.pick(choices.OWNERS) if person.belongs_to("kin") else "the")
    thing = replace(noun_phrase(noun, "the", adjective, plural=plural), english=bare.english)
    return thing.within("{1}'s {0} | {0} {1}", Pair(owner.english, owner.case("genitive")))


def genitive(chance: Chance) -> Pair:
    """The teacher's car is new. -> Das Auto des Lehrers ist neu."""
    recipe = chance.recipe((1, possessed_thing_is), (1, possessed_thing_as_object), (1, cause_first))
    return say(recipe(chance))


def possessed_thing_is(chance: Chance) -> Bilingual:
    noun = chance.pick(OWNED)
    return build.being(possessed(chance, noun), predicate(choices.suitable(chance, noun)))


def possessed_thing_as_object(chance: Chance) -> Bilingual:
    verb = chance.pick([verb for verb in SIMPLY_WILLED if verb.frame == "accusative" and "ware" in verb.classes])
    thing = possessed(chance, chance.pick([noun for noun in nouns_of(*verb.classes) if noun in OWNED]))
    return tenses.in_any_tense(chance, build.acting(choices.someone(chance), verb, thing))


def cause_first(chance: Chance) -> Bilingual:
    """Because of the rain, we stayed at home; during the concert."""
    preposition, noun = chance.pick(
        [(Pair("because of", "wegen"), noun) for noun in nouns_of("weather", "task", "event")]
        + [(Pair("during", "während"), noun) for noun in nouns_of("event")]
    )
    determiner = "the" if noun.belongs_to("weather") else chance.pick(("the", "the", "this", "our"))
    cause = choices.described(chance, noun, determiner, 0.4)
    part = Part(*cause.after(preposition, "genitive"), "time")
    clause = build.anything(chance)
    clause = clause if clause.verb.is_any("no_past", "ambiguous_past") else clause.in_past()
    return clause.having(part).fronted(part)


def spot(chance: Chance, governed: str, *, roomy: bool = False) -> Pair:
    """Somewhere on, under or beside something, in the given case; roomy enough for a person, or for a thing."""
    preposition = chance.pick((ON, *BESIDE) if roomy else (ON, UNDER, *BESIDE))
    if roomy:
        names = "chair bed" if preposition == ON else "door window table house car bed"
    else:
        names = SUPPORTS.get(preposition, "table chair bed cupboard box door window lamp clock computer")
        if chance.happens(0.25):
            preposition, names = Pair("in", "in"), "cupboard box suitcase bag kitchen"
    return choices.described(chance, NOUN[chance.pick(names.split())], "the", 0.3).after(preposition, governed)


def preposition(chance: Chance) -> Pair:
    """He puts the book on the table. -> Er legt das Buch auf den Tisch."""
    kind = chance.number(1, 5)
    if kind <= 2:
        return say(putting(chance, "put" if kind == 1 else "place"))
    where = spot(chance, "dative")
    if kind == 3:
        return say(build.journey(chance))
    verb = POSITION[chance.pick(("lie", "stand", "sit"))]
    noun = chance.pick(nouns_of(*verb.classes))
    if verb.english == "sit":
        where = spot(chance, "dative", roomy=True)
    subject = choices.some_phrase(chance, noun, described=0.25)
    clause = Clause(subject, verb, (Part(*where, "place"),))
    return say(clause if kind == 4 else tenses.in_progress(clause))


def putting(chance: Chance, name: str) -> Clause:
    """Someone puts a thing somewhere."""
    verb = POSITION[name]
    thing = choices.some_phrase(chance, chance.pick(nouns_of(*verb.classes)), described=0.25)
    where = Part(*spot(chance, "accusative"), "direction")
    clause = build.acting(choices.someone(chance), verb, thing).having(where)
    if chance.happens(0.3):
        return clause.with_modal(chance.pick(("can", "must", "want to", "should")))
    return tenses.perhaps_past(chance, clause, 0.3, timed=0.6)


def pronoun(chance: Chance) -> Pair:
    """The lamp is old, but it is beautiful. -> Die Lampe ist alt, aber sie ist schön."""
    kind = chance.number(1, 5)
    noun = chance.pick((nouns_of("machine"), THINGS, FINDABLE, OWNED, nouns_of("ware"))[kind - 1])
    first, second = two_adjectives(chance, noun)
    is_plural = chance.happens(0.2)
    determiner = chance.pick(("the", "the", *choices.OWNERS)) if noun.belongs_to("ware", "luggage") else "the"
    thing = noun_phrase(noun, determiner, plural=is_plural)
    it, opening = it_for(thing), build.being(thing, predicate(first))
    if kind == 1:
        works = Pair("work", "funktionieren") if is_plural else Pair("works", "funktioniert")
        still = chance.pick((STILL_WORKS, "{}, but {} no longer {} | {}, aber {} {} nicht mehr"))
        return sentence(still, opening, it, works)
    if kind == 2:
        return sentence("{}, but {} | {}, aber {}", opening, build.being(it, predicate(second)))
    return taken_up(chance, noun, thing, kind)


TWO_SENTENCES = "{} {} | {} {}"
STILL_WORKS = "{}, but {} still {} | {}, aber {} {} noch"


def taken_up(chance: Chance, noun: Noun, thing: NounPhrase, kind: int) -> Pair:
    """Two short sentences, or a clause and its reason, where a pronoun stands for the thing."""
    it = it_for(thing)
    verbs = [verb for verb in TRANSITIVE + SEPARABLE if verb.takes(noun)]
    verb = chance.pick([verb for verb in verbs if not verb.is_any("no_past", "ambiguous_past")])
    subject = choices.someone(chance)
    be = Pair("are", "sind") if thing.is_plural else Pair("is", "ist")
    if kind == 3:
        answer = sentence("{} {} {} | {} {} {}", it, be, spot(chance, "dative"))
        return both(TWO_SENTENCES, sentence("where {} {} | wo {} {}", be, thing, mark="?"), answer)
    if kind == 4:
        done = build.acting(subject, verb, it).in_past()
        done = done.having(choices.past_time(chance)) if chance.happens(0.6) else done
        these = Pair("these", "das") if thing.is_plural else Pair("this", "das")
        return both(TWO_SENTENCES, sentence("{} {} {} | {} {} {}", these, be, thing), say(done))
    verb = VERB[chance.pick(("buy", "look for"))]
    main = tenses.in_past(chance, build.acting(subject, verb, thing), timed=0.3)
    need = build.acting(pronoun_for(subject), VERB["need"], it)
    return sentence("{} because {} | {}, weil {}", main, need.final())


PHENOMENA = (case, genitive, preposition, pronoun)
