"""Agreement of articles and adjectives with the noun, in gender and number."""

from dataclasses import replace

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import Clause
from corpus.phrases import NounPhrase, Part, noun_phrase, pronoun
from corpus.text import Pair, both, say, sentence
from corpus.verbs import HAVE, SIMPLY_WILLED, TRANSITIVE, VERB
from corpus.words import ADJECTIVES, Adjective, Noun, nouns_of

DESCRIBABLE = nouns_of("person", "animal", "text", "food", "ware", "opening", "vehicle", "thought", "event", "room")
COUNTABLE = tuple(noun for noun in DESCRIBABLE if noun.countable)


def predicate(adjective: Adjective) -> Part:
    return Part(adjective.english, adjective.german, "predicate")


def two_adjectives(chance: Chance, noun: Noun) -> tuple[Adjective, Adjective]:
    """Two adjectives that may be said of one thing."""
    first = choices.suitable(chance, noun)
    second = chance.until(
        lambda chance: choices.suitable(chance, noun),
        lambda second: second != first and second.english not in first.opposites,
    )
    return first, second


def gender_agreement(chance: Chance) -> Pair:
    """This is a red car. -> Das ist ein rotes Auto."""
    noun = chance.pick(DESCRIBABLE)
    adjective, other = two_adjectives(chance, noun)
    determiner = choices.singular_determiner(chance, noun)
    is_indefinite = determiner in ("a", "")
    kind = chance.number(1, 3)
    if kind == 1 and not noun.belongs_to("person"):
        article = "" if noun.belongs_to("mass") else "a"
        owned = owned_thing(chance, noun, noun_phrase(noun, article, adjective))
        if owned:
            return say(owned)
        determiner = article
    if kind == 2:
        opening, mark = chance.pick(
            (("this is {} | das ist {}", "."), ("is this {} | ist das {}", "?"), (NOT_THIS, "."))
        )
        if opening == NOT_THIS and is_indefinite:
            opening = "this is {} | das ist {}"
        phrase = noun_phrase(noun, "the" if determiner == "this" else determiner, adjective)
        return sentence(opening, phrase, mark=mark)
    phrase = noun_phrase(noun, "the" if is_indefinite else determiner, adjective)
    return say(build.being(phrase, predicate(other)).in_tense(chance.pick(("present", "present", "past"))))


NOT_THIS = "that is not {} | das ist nicht {}"


def owned_thing(chance: Chance, noun: Noun, phrase: NounPhrase) -> Clause | None:
    """Someone does something to the thing, or has it, where that makes sense."""
    owner, verb = choices.someone(chance), chance.pick(TRANSITIVE)
    if verb.takes(noun):
        return tenses.in_present(chance, build.acting(owner, verb, phrase))
    if noun.belongs_to("ware", "animal", "food"):
        return build.acting(owner, HAVE, phrase).in_tense(chance.pick(("present", "past")))
    return None


def plural(chance: Chance) -> Pair:
    """Three old books are expensive. -> Drei alte Bücher sind teuer."""
    kind = chance.number(1, 3)
    if kind == 1:
        people = [noun for noun in choices.PEOPLE if noun.countable]
        subject = choices.some_phrase(chance, chance.pick(people), described=0.4, plural=1)
        return say(tenses.in_any_tense(chance, build.anything(chance, subject)))
    if kind == 2:
        noun = chance.pick(COUNTABLE)
        adjective, other = two_adjectives(chance, noun)
        subject = noun_phrase(noun, choices.plural_determiner(chance, noun) or "many", adjective, plural=True)
        return say(build.being(subject, predicate(other)))
    verb = chance.pick(SIMPLY_WILLED)
    nouns = [noun for noun in nouns_of(*verb.classes) if noun.countable]
    things = choices.some_phrase(chance, chance.pick(nouns), described=0.5, plural=1) if nouns else pronoun("they")
    return say(tenses.in_any_tense(chance, build.acting(choices.someone(chance), verb, things)))


def possessive(chance: Chance) -> Pair:
    """She visits her brother. -> Sie besucht ihren Bruder."""
    subject = choices.someone(chance, pronouns=0.5)
    owners = {"1s": "my", "2s": "your", "1p": "our", "3p": "their"}
    owner = owners.get(subject.person) or {"masculine": "his", "feminine": "her"}.get(subject.gender, "my")
    verb = chance.pick(
        [verb for verb in SIMPLY_WILLED if verb.takes_any("ware", "person", "clothing", "lent", "animal")]
    )
    relatives = ("kin",) if "person" in verb.classes else ()
    owned = [
        noun
        for noun in nouns_of(*verb.classes, *relatives)
        if noun.belongs_to("ware", "clothing", "animal", *relatives)
    ]
    noun = chance.pick(owned)
    adjective = choices.adjective_for(chance, noun, 0.4)
    thing = noun_phrase(noun, owner, adjective, plural=choices.perhaps_plural(chance, noun, 0.25))
    return say(tenses.in_any_tense(chance, build.acting(subject, verb, thing)))


def comparison(chance: Chance) -> Pair:
    """The train is faster than the bus. -> Der Zug ist schneller als der Bus."""
    adjective = chance.pick([adjective for adjective in ADJECTIVES if adjective.comparative])
    group = chance.pick([name for name in adjective.classes if len(nouns_of(name)) > 1])
    noun, other = chance.shuffled(nouns_of(group))[:2]
    if chance.happens(0.25) and not noun.belongs_to("mass", "kin"):
        return graded_phrase(chance, noun, adjective)
    is_plural = noun.countable and other.countable and chance.happens(0.2)
    subject = compared(chance, noun, adjective, plural=is_plural)
    than = compared(chance, other, adjective, plural=is_plural)
    if group == "person" and chance.happens(0.2):
        subject = choices.a_name(chance)
    elif group == "person" and chance.happens(0.25):
        than = pronoun(chance.pick(("I", "you", "he", "she")))
    standard = than.as_object("nominative")
    if chance.happens(0.3):
        degree = both("as {} as {} | so {} wie {}", adjective, standard)
    else:
        comparative = Pair(adjective.comparative, adjective.german_comparative)
        degree = both("{} than {} | {} als {}", comparative, standard)
    clause = build.being(subject, Part(*degree, "predicate")).in_tense(chance.pick(("present", "past")))
    return say(clause.negated() if chance.happens(0.25) else clause)


def compared(chance: Chance, noun: Noun, adjective: Adjective, *, plural: bool) -> NounPhrase:
    """One side of the comparison, perhaps described, but not by the adjective that compares."""
    determiner = chance.pick(choices.OWNERS) if noun.belongs_to("kin") else "the"
    description = choices.adjective_for(chance, noun, 0.35)
    return noun_phrase(noun, determiner, None if description == adjective else description, plural=plural)


def graded_phrase(chance: Chance, noun: Noun, adjective: Adjective) -> Pair:
    """I need a bigger table; this is the oldest house."""
    if chance.happens(0.5):
        highest = replace(adjective, english=adjective.superlative, german=adjective.german_superlative)
        opening = chance.pick(("this is {} | das ist {}", "that was {} | das war {}"))
        return sentence(opening, noun_phrase(noun, "the", highest))
    higher = replace(adjective, english=adjective.comparative, german=adjective.german_comparative)
    verb = VERB[chance.pick(("lose", "look for", "need"))]
    return say(build.acting(choices.someone(chance), verb, noun_phrase(noun, "a", higher)))


PHENOMENA = (gender_agreement, plural, possessive, comparison)
