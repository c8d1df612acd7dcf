"""Where the verb goes, and what it is made of."""

from dataclasses import replace

from corpus import build, choices, german, tenses
from corpus.chance import Chance
from corpus.clauses import (
    Clause,
    Pair,
    english_infinitive,
    english_rest,
    english_words,
    finish,
    fronted,
    german_final,
    german_infinitive,
    german_main,
    middle_field,
    say,
    statement,
)  # fmt: skip
from corpus.nouns import NOUN, nouns_of
from corpus.phrases import NounPhrase, Part, noun_phrase, object_part, pronoun
from corpus.words import MOODS, read_pairs

PLAIN_MODALS = ("can", "must", "have to", "want to", "may", "be allowed to", "should", "would like to")
EVERYDAY = build.TRANSITIVE + build.SEPARABLE + build.DITRANSITIVE + build.PREPOSITIONAL
WILLED = build.willed()
SIMPLY_WILLED = build.simply_willed()


def verb_second(chance: Chance) -> Pair:
    """Tomorrow we will visit the museum. -> Morgen besuchen wir das Museum."""
    clause = build.action(chance, among=EVERYDAY) if chance.happens(0.6) else build.anything(chance)
    kind = chance.number(1, 4)
    if kind == 1:
        place = choices.location(chance)
        acted = build.action(chance, among=(*build.TRANSITIVE[:2], *build.INTRANSITIVE[:4]))
        return say(fronted(tenses.in_past(chance, acted, timed=0).with_part(place), place))
    if kind == 2:
        timed = tenses.in_past(chance, clause, timed=1)
    elif kind == 3:
        timed = tenses.in_future(chance, clause)
    else:
        timed = tenses.in_present(chance, clause, timed=1)
    time = tenses.time_of(timed)
    return say(fronted(timed, time) if time else statement(timed))


def separable_verb(chance: Chance) -> Pair:
    """She gets up every day. -> Sie steht jeden Tag auf."""
    separable = tuple(verb for verb in build.INTRANSITIVE + build.REFLEXIVE if verb.prefix)
    clause = build.action(chance, among=build.SEPARABLE if chance.happens(0.65) else separable)
    pronominal = chance.happens(0.3) and clause.verb.particle
    if pronominal:
        it = object_part(clause.verb, pronoun(chance.pick(("he", "she", "they"))))
        clause = replace(clause, parts=(it,)) if "person" in clause.verb.classes else clause
    kind = chance.number(1, 4)
    if kind == 1:
        return say(statement(replace(clause, modal=chance.pick(PLAIN_MODALS))))
    if kind == 2:
        opening = chance.pick((("I know that", "Ich weiß, dass"), ("I hope that", "Ich hoffe, dass")))
        shown = tenses.in_any_tense(chance, clause)
        return finish(f"{opening[0]} {english_words(shown)}", f"{opening[1]} {german_final(shown)}")
    return say(statement(tenses.in_any_tense(chance, clause)))


def reflexive_verb(chance: Chance) -> Pair:
    """I look forward to the journey. -> Ich freue mich auf die Reise."""
    if chance.happens(0.2):
        english, mood = chance.pick(read_pairs(MOODS[: MOODS.index("\nangry")]))
        clause = Clause(choices.someone(chance), build.OTHER["feel"], (Part(english, mood, "predicate"),))
    else:
        clause = build.action(chance, among=build.REFLEXIVE)
    if clause.verb.imperative and chance.happens(0.4):
        return say(statement(replace(clause, modal=chance.pick(("can", "must", "want to", "should")))))
    shown = tenses.in_any_tense(chance, clause)
    time = tenses.time_of(shown)
    return say(fronted(shown, time) if time and chance.happens(0.3) else statement(shown))


def modal_verb(chance: Chance) -> Pair:
    """He wants to read the book. -> Er will das Buch lesen."""
    clause = build.anything(chance)
    if clause.verb.classes and not clause.verb.imperative:
        clause = build.action(chance, among=WILLED)
    modal = chance.pick(PLAIN_MODALS)
    if modal in ("can", "have to", "want to") and chance.happens(0.3):
        return say(statement(replace(tenses.in_past(chance, clause), modal=modal)))
    shown = replace(clause, modal=modal)
    if chance.happens(0.35):
        time = choices.future_time(chance)
        shown = shown.with_part(time)
        return say(fronted(shown, time) if chance.happens(0.4) else statement(shown))
    return say(statement(shown))


def perfect_tense(chance: Chance) -> Pair:
    """She went home yesterday. -> Sie ist gestern nach Hause gegangen."""
    clause = build.anything(chance)
    if chance.happens(0.25):
        already = Part("already", "schon", "frequency")
        shown = tenses.in_perfect(clause)
        return say(statement(shown.with_part(already) if shown.tense == "perfect" else shown))
    return say(statement(tenses.in_past(chance, clause)))


def past_tense(chance: Chance) -> Pair:
    """My uncle was ill last week. -> Mein Onkel war letzte Woche krank."""
    kind = chance.number(1, 4)
    subject = choices.someone(chance)
    if kind == 1:
        clause = replace(build.state(chance, subject), tense="past")
    elif kind == 2:
        clause = Clause(subject, build.BE, (choices.location(chance),), "past")
    elif kind == 3:
        thing = noun_phrase(*described(chance, "ware"))
        clause = Clause(subject, build.HAVE, (object_part(build.HAVE, thing),), "past")
    else:
        modal = chance.pick(("can", "have to", "want to"))
        clause = replace(build.action(chance, subject, among=WILLED), modal=modal, tense="past")
    time = choices.past_time(chance)
    if chance.happens(0.3):
        return say(fronted(clause.with_part(time), time))
    return say(statement(clause.with_part(time) if chance.happens(0.7) else clause))


def described(chance: Chance, *classes: str) -> tuple:
    """A noun, "a", and perhaps an adjective: the arguments of noun_phrase."""
    noun = chance.pick(nouns_of(*classes))
    return noun, "a", choices.adjective_for(chance, noun, 0.6)


def imperative(chance: Chance) -> Pair:
    """Open the window, please! -> Öffne bitte das Fenster!"""
    among = build.TRANSITIVE + build.SEPARABLE + build.DITRANSITIVE + build.PREPOSITIONAL + build.DATIVE
    verbs = tuple(verb for verb in among if verb.imperative)
    clause = build.action(chance, pronoun("you"), among=verbs)
    if any(part.english in ("you", "me", "us") for part in clause.parts):
        return imperative(chance)
    verb, kind = clause.verb, chance.number(1, 4)
    if kind == 1:
        words = [*middle_field(clause), verb.prefix + verb.infinitive]
        return finish(f"let us {verb.english} {english_rest(clause)}", "lass uns " + " ".join(words), "!")
    if kind == 2 and "pronoun" not in [part.slot for part in clause.parts] and build.is_definite(clause):
        english, words = f"do not {verb.english}", middle_field(replace(clause, negated=True))
        closing = ""
    else:
        english, words = verb.english, middle_field(clause)
        closing = ", please" if kind == 3 else ""
        if closing:
            after = sum(part.slot == "pronoun" for part in clause.parts)
            words.insert(after, "bitte")
    ordered = " ".join(word for word in (verb.imperative, *words, verb.prefix) if word)
    return finish(f"{english} {english_rest(clause)}".strip() + closing, ordered, "!")


def infinitive_clause(chance: Chance) -> Pair:
    """She tries to open the door. -> Sie versucht, die Tür zu öffnen."""
    kind, subject = chance.number(1, 3), choices.someone(chance)
    clause = build.action(chance, subject, among=WILLED)
    goal_en, goal_de = english_infinitive(clause), german_infinitive(clause)
    if kind == 1:
        verb = build.OTHER[chance.pick(("try", "promise", "decide", "hope"))]
        tense = "past" if verb.name == "decide" else chance.pick(("present", "past"))
        main = Clause(subject, verb, (), tense)
        return finish(f"{english_words(main)} {goal_en}", f"{german_main(main)}, {goal_de}")
    if kind == 2:
        clause = build.action(chance, pronoun("they"), among=tuple(v for v in WILLED if not v.reflexive))
        words = (
            ("important", "wichtig"),
            ("difficult", "schwierig"),
            ("simple", "einfach"),
            ("interesting", "interessant"),
        )
        english, german_text = chance.pick(words)
        goal_en, goal_de = english_infinitive(clause), german_infinitive(clause)
        return finish(f"it is {english} {goal_en}", f"es ist {german_text}, {goal_de}")
    verb = chance.pick(build.MOTION[:3])
    trip = Clause(subject, verb, (choices.destination(chance, by_car=verb.english == "drive"),))
    trip = tenses.in_past(chance, trip, timed=0.3) if chance.happens(0.5) else trip
    purpose = chance.pick(tuple(verb for verb in WILLED if verb.frame == "accusative"))
    clause = build.action(chance, subject, among=(purpose,))
    english = f"{english_words(trip)} in order {english_infinitive(clause)}"
    return finish(english, f"{german_main(trip)}, um {german_infinitive(clause)}")


def passive(chance: Chance) -> Pair:
    """The house was built in 1985. -> Das Haus wurde 1985 gebaut."""
    unfit = (*build.STATES, "eat", "drink", "wear", "carry", "lose", "find", "forget")
    verb = chance.pick(tuple(v for v in build.TRANSITIVE if v.name not in unfit and not v.tail))
    noun = chance.pick(nouns_of(*[name for name in verb.classes if name != "kin"]))
    determiner = "the" if "person" in noun.classes or "mass" in noun.classes else chance.pick(("the", "the", "this"))
    plural = noun.countable and chance.happens(0.25)
    subject = noun_phrase(noun, determiner, choices.adjective_for(chance, noun, 0.4), plural=plural)
    tense = chance.pick(("passive", "past passive", "past passive"))
    clause = Clause(subject, verb, (), tense)
    if verb.english == "build" or (verb.english in ("write", "buy", "sell", "paint") and chance.happens(0.4)):
        year = chance.number(1900, 2024)
        built = replace(clause, tense="past passive", parts=(Part(f"in {year}", str(year), "time"),))
        return say(statement(built))
    if chance.happens(0.55):
        clause = clause.with_part(by_someone(chance))
    if chance.happens(0.7):
        time = choices.present_time(chance) if tense == "passive" else choices.past_time(chance)
        clause = clause.with_part(time)
        return say(fronted(clause, time) if chance.happens(0.3) else statement(clause))
    return say(statement(clause))


def by_someone(chance: Chance) -> Part:
    agent: NounPhrase = choices.third_person(chance)
    return Part(f"by {agent.english}", german.prepositional("von", agent.case("dative")), "means")


def conditional(chance: Chance) -> Pair:
    """If I had time, I would visit the museum. -> Wenn ich Zeit hätte, würde ich das Museum besuchen."""
    subject = choices.someone(chance)
    wish = replace(build.action(chance, build.pronoun_for(subject), among=WILLED), modal="would")
    condition, german_condition = unreal_condition(chance, subject)
    if chance.happens(0.35):
        full = replace(wish, subject=subject)
        back, german_back = unreal_condition(chance, build.pronoun_for(subject))
        return finish(f"{english_words(full)} if {back}", f"{german_main(full)}, wenn {german_back}")
    return finish(f"if {condition}, {english_words(wish)}", german_main(wish, front=f"wenn {german_condition},"))


def unreal_condition(chance: Chance, subject: NounPhrase) -> tuple[str, str]:
    person = german.PERSONS.index(subject.person)
    if chance.happens(0.2):
        return chance.pick(
            (("the weather were better", "das Wetter besser wäre"), ("it were warmer", "es wärmer wäre"))
        )
    if chance.happens(0.4):
        english, mood = chance.pick((("rich", "reich"), ("younger", "jünger"), ("healthy", "gesund")))
        wish = f"{subject.case('nominative')} {mood} {german.IRREGULAR['wäre'][person]}"
        return f"{subject.english} were {english}", wish
    things = [("time", "Zeit"), ("money", "Geld"), ("more time", "mehr Zeit"), ("more money", "mehr Geld")]
    noun = NOUN[chance.pick(("garden", "car", "bicycle", "computer", "camera", "house"))]
    owned = noun_phrase(noun, "a", choices.adjective_for(chance, noun, 0.4))
    english, german_text = chance.pick((*things, (owned.english, owned.case("accusative"))))
    wish = f"{subject.case('nominative')} {german_text} {german.IRREGULAR['hätte'][person]}"
    return f"{subject.english} had {english}", wish
