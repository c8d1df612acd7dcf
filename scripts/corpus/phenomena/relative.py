"""Relative clauses."""

from dataclasses import replace

from corpus import build, choices, german, tenses
from corpus.chance import Chance
from corpus.clauses import (
    Clause,
    Pair,
    english_words,
    finish,
    german_final,
    say,
    statement,
)  # fmt: skip
from corpus.nouns import nouns_of
from corpus.phenomena.agreement import predicate, suitable
from corpus.phrases import NounPhrase, noun_phrase, object_part
from corpus.verbs import Verb


def relative_clause(chance: Chance) -> Pair:
    """The man who reads the book is nice. -> Der Mann, der das Buch liest, ist nett."""
    if chance.happens(0.5):
        noun = chance.pick([noun for noun in choices.PEOPLE if "kin" not in noun.classes])
        verbs = chance.shuffled([v for v in build.TRANSITIVE if "person" in v.classes])
        plural = chance.happens(0.15)
        head = noun_phrase(noun, "the", choices.adjective_for(chance, noun, 0.2), plural=plural)
        english, german_text = about_person(chance, head)
    else:
        noun = chance.pick(nouns_of("ware", "text", "clothing", "dish"))
        plural = chance.happens(0.2)
        head = noun_phrase(noun, "the", choices.adjective_for(chance, noun, 0.2), plural=plural)
        verbs = chance.shuffled([v for v in build.TRANSITIVE + build.SEPARABLE if set(v.classes) & set(noun.classes)])
        english, german_text = about_thing(chance, head, verbs[1:])
    nominative, accusative, dative, genitive = (f"{form}, {german_text}," for form in head.forms)
    forms, whole = (nominative, accusative, dative, genitive), f"{head.english} {english}"
    full = NounPhrase(whole, whole, forms, head.gender, head.person)
    if chance.happens(0.5):
        main = Clause(full, build.BE, (predicate(suitable(chance, noun)),))
        return say(statement(main))
    verb = verbs[0]
    main = Clause(choices.someone(chance), verb, (object_part(verb, full),))
    if verb.name not in build.NOT_IN_PAST + build.AMBIGUOUS_PAST and chance.happens(0.3):
        main = replace(main, tense="past")
    pair = statement(main)
    return finish(pair.english, pair.german.removesuffix(",").replace(",,", ","))


def relative_pronoun(head: NounPhrase, english: str) -> NounPhrase:
    return NounPhrase(english, english, german.RELATIVE[head.gender], head.gender, head.person)


def about_person(chance: Chance, head: NounPhrase) -> tuple[str, str]:
    """A relative clause with the person as subject, as dative object, or after a preposition."""
    kind = chance.number(1, 4)
    if kind <= 2:
        clause = build.anything(chance, relative_pronoun(head, "who"))
        if chance.happens(0.3):
            clause = tenses.in_past(chance, clause, timed=0.3)
        return english_words(clause), german_final(clause)
    subject = choices.someone(chance)
    if kind == 3:
        verb = chance.pick(
            tuple(
                v
                for v in build.TRANSITIVE + build.DATIVE
                if "person" in v.classes and v.english != "listen" and not v.tail
            )
        )
        who = relative_pronoun(head, "whom").case(verb.frame)
        clause = Clause(subject, verb)
        clause = tenses.in_past(chance, clause, timed=0.3) if chance.happens(0.4) else clause
        return f"whom {english_words(clause)}", f"{who} {german_final(clause)}"
    english, preposition, governed = chance.pick((("with", "mit", "dative"), ("for", "für", "accusative")))
    shared = [verb for verb in build.INTRANSITIVE if verb.name in ("work", "dance", "go shopping", "study", "go out")]
    clause = Clause(subject, chance.pick(shared) if english == "with" else build.INTRANSITIVE[1])
    who = relative_pronoun(head, "whom").case(governed)
    return f"{english} whom {english_words(clause)}", f"{preposition} {who} {german_final(clause)}"


def about_thing(chance: Chance, head: NounPhrase, verbs: list[Verb]) -> tuple[str, str]:
    """A relative clause with the thing as accusative object: "that I bought yesterday"."""
    clause = Clause(choices.someone(chance), chance.pick([verb for verb in verbs if not verb.tail]))
    clause = tenses.in_past(chance, clause) if chance.happens(0.7) else clause
    which = german.RELATIVE[head.gender][1]
    return f"that {english_words(clause)}", f"{which} {german_final(clause)}"
