"""Agreement of articles and adjectives with the noun, in gender and number."""

from dataclasses import replace

from corpus.clauses import acting, being
from corpus.draw import OWNERS, PEOPLE, Draw
from corpus.phrases import PRONOUNS, NounPhrase, Part, noun_phrase
from corpus.text import Bilingual, Pair, both
from corpus.words import ADJECTIVES, HAVE, NO_ADJECTIVE, SIMPLY_WILLED, TRANSITIVE, VERB, Adjective, Noun, nouns_of

DESCRIBABLE = nouns_of("person", "animal", "text", "food", "ware", "opening", "vehicle", "thought", "event", "room")
OWNABLE = ("ware", "person", "clothing", "lent", "animal")


def predicate(adjective: Adjective) -> Part:
    return Part(adjective.english, adjective.german, "predicate")


def two_adjectives(draw: Draw, noun: Noun) -> tuple[Adjective, Adjective]:
    """Two adjectives that may be said of one thing."""
    first = draw.adjective_for(noun)
    second = draw.until(
        lambda: draw.adjective_for(noun), lambda second: second != first and second.english not in first.opposites
    )
    return first, second


def gender_agreement(draw: Draw) -> Bilingual:
    """This is a red car. -> Das ist ein rotes Auto."""
    noun = draw.pick(DESCRIBABLE)
    adjective, other = two_adjectives(draw, noun)
    determiner = draw.determiner(noun, plural=False)
    is_indefinite, kind = determiner in ("a", ""), draw.number(1, 3)
    if kind == 1 and not noun.belongs_to("person"):
        determiner = "" if noun.belongs_to("mass") else "a"
        thing = noun_phrase(noun, determiner, adjective)
        owner, verb = draw.someone(), draw.pick(TRANSITIVE)
        if verb.takes(noun):
            return draw.in_present(acting(owner, verb, thing))
        if noun.belongs_to("ware", "animal", "food"):
            return acting(owner, HAVE, thing).in_tense(draw.pick(("present", "past")))
    if kind == 2:
        opening = draw.pick(
            ("this is {} | das ist {}", "is this {}? | ist das {}?", "that is not {} | das ist nicht {}")
        )
        if "not" in opening and is_indefinite:
            opening = "this is {} | das ist {}"
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
    verb = draw.pick([verb for verb in SIMPLY_WILLED if verb.takes_any(*OWNABLE)])
    relatives = ("kin",) if verb.takes_any("person") else ()
    nouns = nouns_of(*verb.classes, *relatives)
    noun = draw.pick([noun for noun in nouns if noun.belongs_to("ware", "clothing", "animal", *relatives)])
    adjective = draw.adjective_for(noun, 0.4)
    thing = noun_phrase(noun, owner, adjective, plural=draw.plural(noun, 0.25))
    return draw.in_any_tense(acting(subject, verb, thing))


def comparison(draw: Draw) -> Bilingual:
    """The train is faster than the bus. -> Der Zug ist schneller als der Bus."""
    adjective = draw.pick([adjective for adjective in ADJECTIVES if adjective.comparative])
    group = draw.pick([name for name in adjective.classes if len(nouns_of(name)) > 1])
    noun, other = draw.shuffled(nouns_of(group))[:2]
    if draw.happens(0.25) and not noun.belongs_to("mass", "kin"):
        return graded_phrase(draw, noun, adjective)
    plural = noun.countable and other.countable and draw.happens(0.2)
    subject, than = (compared(draw, one, adjective, plural=plural) for one in (noun, other))
    if group == "person" and draw.happens(0.2):
        subject = draw.name()
    elif group == "person" and draw.happens(0.25):
        than = PRONOUNS[draw.pick(("I", "you", "he", "she"))]
    standard = than.case("nominative")
    if draw.happens(0.3):
        degree = both("as {} as {} | so {} wie {}", adjective, standard)
    else:
        degree = both("{} than {} | {} als {}", Pair(adjective.comparative, adjective.german_comparative), standard)
    clause = being(subject, Part(*degree, "predicate")).in_tense(draw.pick(("present", "past")))
    return clause.negated() if draw.happens(0.25) else clause


def compared(draw: Draw, noun: Noun, adjective: Adjective, *, plural: bool) -> NounPhrase:
    """One side of the comparison, perhaps described, but not by the adjective that compares."""
    determiner = draw.pick(OWNERS) if noun.belongs_to("kin") else "the"
    description = draw.adjective_for(noun, 0.35)
    return noun_phrase(noun, determiner, NO_ADJECTIVE if description == adjective else description, plural=plural)


def graded_phrase(draw: Draw, noun: Noun, adjective: Adjective) -> Bilingual:
    """I need a bigger table; this is the oldest house."""
    if draw.happens(0.5):
        highest = replace(adjective, english=adjective.superlative, stem=adjective.german_superlative)
        opening = draw.pick(("this is {} | das ist {}", "that was {} | das war {}"))
        return both(opening, noun_phrase(noun, "the", highest))
    higher = replace(adjective, english=adjective.comparative, stem=adjective.german_comparative)
    verb = VERB[draw.pick(("lose", "look for", "need"))]
    return acting(draw.someone(), verb, noun_phrase(noun, "a", higher))
