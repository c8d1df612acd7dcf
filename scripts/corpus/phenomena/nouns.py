"""Noun phrases: agreement in gender and number, case, and pronouns that take up a thing."""

from dataclasses import replace

from corpus import words
from corpus.clauses import Clause, acting, being
from corpus.draw import OWNERS, PEOPLE, Draw
from corpus.phrases import PRONOUNS, NounPhrase, Part, noun_phrase
from corpus.text import Bilingual, Pair, both, phrases, sentence
from corpus.words import NOUN, SIMPLY_WILLED, VERB, Adjective, Noun, nouns_of, verbs_of

DESCRIBABLE = nouns_of("person", "animal", "text", "food", "ware", "opening", "vehicle", "thought", "event", "room")
OWNED = nouns_of("ware", "text", "home", "luggage", "animal")
TAKEN_UP = nouns_of("ware", "opening", "vehicle", "text", "dish", "home", "sight", "luggage")
FINDABLE = nouns_of("flat", "dish", "luggage", "clothing")
ON, UNDER, *BESIDE = phrases("spot")
SUPPORTS = {ON: "table chair", UNDER: "table chair bed cupboard"}
WITH, FOR, WITHOUT = Pair("with", "mit"), Pair("for", "für"), Pair("without", "ohne")
THIS_IS, THAT_WAS, NOT_THIS = "this is {} | das ist {}", "that was {} | das war {}", "that is not {} | das ist nicht {}"


def predicate(adjective: Adjective) -> Part:
    return Part(adjective.english, adjective.german, "predicate")


def two_adjectives(draw: Draw, noun: Noun) -> tuple[Adjective, Adjective]:
    """Two adjectives that may be said of one thing."""
    first = draw.adjective_for(noun)
    # "the old new car" and "the old car is new" contradict themselves
    unfit = (first.english, *first.opposites)
    return first, draw.until(lambda: draw.adjective_for(noun), lambda second: second.english not in unfit)


def gender_agreement(draw: Draw) -> Bilingual:
    """This is a red car. -> Das ist ein rotes Auto."""
    noun = draw.pick(DESCRIBABLE)
    adjective, other = two_adjectives(draw, noun)
    determiner = draw.determiner(noun, plural=False)
    is_indefinite, kind = determiner in ("a", ""), draw.number(1, 3)
    if kind == 1 and not noun.belongs_to("person"):
        determiner = "" if noun.belongs_to("mass") else "a"  # also of the last kind, if no verb fits
        thing = noun_phrase(noun, determiner, adjective)
        owner, verb = draw.someone(), draw.pick(verbs_of("transitive"))
        if verb.takes(noun):
            return draw.in_present(acting(owner, verb, thing))
        if noun.belongs_to("ware", "animal", "food"):
            return acting(owner, words.HAVE, thing).in_tense(draw.pick(("present", "past")))
    if kind == 2:
        opening = draw.pick((THIS_IS, "is this {}? | ist das {}?", THIS_IS if is_indefinite else NOT_THIS))
        return both(opening, noun_phrase(noun, "the" if determiner == "this" else determiner, adjective))
    subject = noun_phrase(noun, "the" if is_indefinite else determiner, adjective)
    return being(subject, predicate(other)).in_tense(draw.pick(("present", "present", "past")))


def plural(draw: Draw) -> Bilingual:
    """Three old books are expensive. -> Drei alte Bücher sind teuer."""
    kind = draw.number(1, 3)
    if kind == 1:
        people = [noun for noun in PEOPLE if noun.countable]
        return draw.in_any_tense(draw.anything(draw.some(draw.pick(people), described=0.4, plural=1)))
    if kind == 2:
        noun = draw.pick([noun for noun in DESCRIBABLE if noun.countable])
        adjective, other = two_adjectives(draw, noun)
        subject = noun_phrase(noun, draw.determiner(noun, plural=True) or "many", adjective, plural=True)
        return being(subject, predicate(other))
    verb = draw.pick(SIMPLY_WILLED)
    nouns = [noun for noun in nouns_of(*verb.classes) if noun.countable]
    things = draw.some(draw.pick(nouns), described=0.5, plural=1) if nouns else PRONOUNS["they"]
    return draw.in_any_tense(acting(draw.someone(), verb, things))


def possessive(draw: Draw) -> Bilingual:
    """She visits her brother. -> Sie besucht ihren Bruder."""
    subject = draw.someone(pronouns=0.5)
    owners = {"1s": "my", "2s": "your", "1p": "our", "3p": "their"}
    owner = owners.get(subject.person) or {"masculine": "his", "feminine": "her"}.get(subject.gender, "my")
    verb = draw.pick([v for v in SIMPLY_WILLED if v.takes_any("ware", "person", "clothing", "lent", "animal")])
    relatives = ("kin",) if verb.takes_any("person") else ()
    nouns = nouns_of(*verb.classes, *relatives)
    noun = draw.pick([noun for noun in nouns if noun.belongs_to("ware", "clothing", "animal", *relatives)])
    adjective = draw.adjective_for(noun, 0.4)
    thing = noun_phrase(noun, owner, adjective, plural=noun.countable and draw.happens(0.25))
    return draw.in_any_tense(acting(subject, verb, thing))


def comparison(draw: Draw) -> Bilingual:
    """The train is faster than the bus. -> Der Zug ist schneller als der Bus."""
    adjective = draw.pick([adjective for adjective in words.ADJECTIVES if adjective.comparative])
    group = draw.pick([name for name in adjective.classes if len(nouns_of(name)) > 1])
    noun, other = draw.shuffled(nouns_of(group))[:2]
    if draw.happens(0.25) and not noun.belongs_to("mass", "kin"):
        if draw.happens(0.5):
            highest = replace(adjective, english=adjective.superlative, stem=adjective.german_superlative)
            return both(draw.pick((THIS_IS, THAT_WAS)), noun_phrase(noun, "the", highest))
        higher = replace(adjective, english=adjective.comparative, stem=adjective.german_comparative)
        verb = VERB[draw.pick(("lose", "look for", "need"))]
        return acting(draw.someone(), verb, noun_phrase(noun, "a", higher))
    plural = noun.countable and other.countable and draw.happens(0.2)
    sides = []
    for side in (noun, other):
        determiner = draw.pick(OWNERS) if side.belongs_to("kin") else "the"
        description = draw.adjective_for(side, 0.35)
        description = words.NO_ADJECTIVE if description == adjective else description  # no old car is older
        sides.append(noun_phrase(side, determiner, description, plural=plural))
    subject, than = sides
    if group == "person" and draw.happens(0.2):
        subject = draw.name()
    elif group == "person" and draw.happens(0.25):
        than = PRONOUNS[draw.pick(("I", "you", "he", "she"))]
    comparative, standard = Pair(adjective.comparative, adjective.german_comparative), than.case("nominative")
    degree = both("{} than {} | {} als {}", comparative, standard)
    if draw.happens(0.3):
        degree = both("as {} as {} | so {} wie {}", adjective, standard)
    clause = being(subject, Part(*degree, "predicate")).in_tense(draw.pick(("present", "past")))
    return clause.negated() if draw.happens(0.25) else clause


def case(draw: Draw) -> Bilingual:
    """He gives the rich man a book. -> Er gibt dem reichen Mann ein Buch."""
    kind = draw.number(1, 4)
    if kind <= 2:
        return draw.in_any_tense(draw.action(among=verbs_of("ditransitive" if kind == 1 else "dative"), described=0.4))
    clause = draw.journey() if kind == 3 else draw.action(among=words.WILLED)
    companion = draw.person_besides(clause.subject)
    preposition = draw.pick((WITH, FOR, WITHOUT) if kind == 4 else (WITH, WITHOUT))
    governed = companion.after(preposition, "dative" if preposition == WITH else "accusative")
    return draw.in_any_tense(clause.having(Part(*governed, "means")))


def possessed(draw: Draw, noun: Noun) -> NounPhrase:
    """The thing of somebody: "the teacher's car", "das Auto des Lehrers"; "Anna's car", "Annas Auto"."""
    plural = noun.countable and draw.happens(0.2)
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
    names = SUPPORTS.get(preposition, "table chair bed cupboard box door window lamp clock computer")
    if roomy:
        names = "chair bed" if preposition == ON else "door window table house car bed"
    elif draw.happens(0.25):
        preposition, names = Pair("in", "in"), "cupboard box suitcase bag kitchen"
    return draw.described(NOUN[draw.pick(names.split())], "the", 0.3).after(preposition, governed)


def preposition(draw: Draw) -> Bilingual:
    """He puts the book on the table. -> Er legt das Buch auf den Tisch."""
    kind = draw.number(1, 5)
    if kind <= 2:
        verb = words.POSITION["put" if kind == 1 else "place"]
        thing = draw.some(draw.pick(nouns_of(*verb.classes)), described=0.25)
        where = Part(*spot(draw, "accusative"), "direction")
        clause = acting(draw.someone(), verb, thing).having(where)
        if draw.happens(0.3):
            return clause.with_modal(draw.pick(("can", "must", "want to", "should")))
        return draw.perhaps_past(clause, 0.3)
    where = Part(*spot(draw, "dative"), "location")
    if kind == 3:
        return draw.journey()
    verb = words.POSITION[draw.pick(("lie", "stand", "sit"))]
    noun = draw.pick(nouns_of(*verb.classes))
    if verb.english == "sit":
        where = Part(*spot(draw, "dative", roomy=True), "location")
    clause = Clause(draw.some(noun, described=0.25), verb, (where,))
    return clause if kind == 4 else clause.in_progress()


def pronoun(draw: Draw) -> Bilingual:
    """The lamp is old, but it is beautiful. -> Die Lampe ist alt, aber sie ist schön."""
    kind = draw.number(1, 5)
    noun = draw.pick((nouns_of("machine"), TAKEN_UP, FINDABLE, OWNED, nouns_of("ware"))[kind - 1])
    first, second = two_adjectives(draw, noun)
    is_plural = draw.happens(0.2)  # of any noun: line 22,825 of train has the plural "-" of sheep
    determiner = draw.pick(("the", "the", *OWNERS)) if noun.belongs_to("ware", "luggage") else "the"
    thing = noun_phrase(noun, determiner, plural=is_plural)
    it, opening = thing.as_it(), being(thing, predicate(first))
    if kind == 1:
        still = ("{}, but {} still {} | {}, aber {} {} noch", "{}, but {} no longer {} | {}, aber {} {} nicht mehr")
        works = Pair("work", "funktionieren") if is_plural else Pair("works", "funktioniert")
        return both(draw.pick(still), opening, it, works)
    if kind == 2:
        return both("{}, but {} | {}, aber {}", opening, being(it, predicate(second)))
    verbs = [v for v in verbs_of("transitive", "separable") if not v.is_any("no_past", "ambiguous_past")]
    verb, subject = draw.pick([verb for verb in verbs if verb.takes(noun)]), draw.someone()
    if kind == 3:
        answer = sentence(both("{} {} {} | {} {} {}", it, thing.be, spot(draw, "dative")))
        return both("where {} {}? {} | wo {} {}? {}", thing.be, thing, answer)
    if kind == 4:
        done = acting(subject, verb, it).in_past()
        done = done.having(draw.past_time()) if draw.happens(0.6) else done
        these = Pair("these" if thing.is_plural else "this", "das")
        return both("{} {} {}. {} | {} {} {}. {}", these, thing.be, thing, sentence(done))
    main = draw.in_past(acting(subject, VERB[draw.pick(("buy", "look for"))], thing), timed=0.3)
    return both("{} {} | {}, {}", main, acting(subject.as_pronoun(), VERB["need"], it).final("because {} | weil {}"))
