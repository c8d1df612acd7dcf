"""Position, form and voice of the verb."""

from corpus import build, choices, german, tenses, verbs
from corpus.chance import Chance
from corpus.clauses import Clause, english_rest, middle_field
from corpus.phrases import NounPhrase, Part, pronoun, pronoun_for
from corpus.tables import phrases
from corpus.text import Pair, both, say, sentence
from corpus.words import NOUN, nouns_of

PLAIN_MODALS = ("can", "must", "have to", "want to", "may", "be allowed to", "should", "would like to")
ABLE_OR_WILLING = ("can", "must", "want to", "should")
CALM = phrases("mood")[:6]
NEVER_PASSIVE = ["eat", "drink", "wear", "carry", "lose", "find", "forget"]


def verb_second(chance: Chance) -> Pair:
    """Tomorrow we will visit the museum. -> Morgen besuchen wir das Museum."""
    clause = build.action(chance, among=verbs.EVERYDAY) if chance.happens(0.6) else build.anything(chance)
    recipe = chance.recipe(
        (1, location_first),
        (1, lambda chance, clause: tenses.time_first(tenses.in_past(chance, clause, timed=1))),
        (1, lambda chance, clause: tenses.time_first(tenses.in_future(chance, clause))),
        (1, lambda chance, clause: tenses.time_first(tenses.in_present(chance, clause, timed=1))),
    )
    return say(recipe(chance, clause))


def location_first(chance: Chance, _: Clause) -> Pair:
    where = choices.location(chance)
    acted = build.action(chance, among=verbs.TRANSITIVE[:2] + verbs.INTRANSITIVE[:4])
    return tenses.in_past(chance, acted, timed=0).having(where).fronted(where)


def separable_verb(chance: Chance) -> Pair:
    """She gets up every day. -> Sie steht jeden Tag auf."""
    others = tuple(verb for verb in verbs.INTRANSITIVE + verbs.REFLEXIVE if verb.prefix)
    clause = build.action(chance, among=verbs.SEPARABLE if chance.happens(0.65) else others)
    if chance.happens(0.3) and clause.verb.particle:
        it = pronoun(chance.pick(("he", "she", "they")))
        clause = build.acting(clause.subject, clause.verb, it) if "person" in clause.verb.classes else clause
    kind = chance.number(1, 4)
    if kind == 1:
        return say(clause.with_modal(chance.pick(PLAIN_MODALS)))
    if kind == 2:
        opening = chance.pick(("I know that {} | Ich weiß, dass {}", "I hope that {} | Ich hoffe, dass {}"))
        return say(tenses.in_any_tense(chance, clause).final(opening))
    return say(tenses.in_any_tense(chance, clause))


def reflexive_verb(chance: Chance) -> Pair:
    """I look forward to the journey. -> Ich freue mich auf die Reise."""
    if chance.happens(0.2):
        mood = Part(*chance.pick(CALM), "predicate")
        clause = Clause(choices.someone(chance), verbs.OTHER["feel"], (mood,))
    else:
        clause = build.action(chance, among=verbs.REFLEXIVE)
    if clause.verb.imperative and chance.happens(0.4):
        return say(clause.with_modal(chance.pick(ABLE_OR_WILLING)))
    return say(tenses.time_perhaps_first(chance, tenses.in_any_tense(chance, clause)))


def modal_verb(chance: Chance) -> Pair:
    """He wants to read the book. -> Er will das Buch lesen."""
    clause = build.anything(chance)
    if clause.verb.classes and not clause.verb.imperative:
        clause = build.action(chance, among=verbs.WILLED)
    modal = chance.pick(PLAIN_MODALS)
    if modal in ("can", "have to", "want to") and chance.happens(0.3):
        return say(tenses.in_past(chance, clause).with_modal(modal))
    clause = clause.with_modal(modal)
    if chance.happens(0.35):
        return say(tenses.time_perhaps_first(chance, clause.having(choices.future_time(chance)), 0.4))
    return say(clause)


def perfect_tense(chance: Chance) -> Pair:
    """She went home yesterday. -> Sie ist gestern nach Hause gegangen."""
    clause = build.anything(chance)
    if not chance.happens(0.25):
        return say(tenses.in_past(chance, clause))
    clause = tenses.in_perfect(clause)
    already = Part("already", "schon", "frequency")
    return say(clause.having(already) if clause.tense == "perfect" else clause)


def past_tense(chance: Chance) -> Pair:
    """My uncle was ill last week. -> Mein Onkel war letzte Woche krank."""
    recipe = chance.recipe(
        (1, build.state),
        (1, lambda chance, subject: build.being(subject, choices.location(chance))),
        (1, had_a_thing),
        (1, had_to_act),
    )
    clause = recipe(chance, choices.someone(chance)).in_past()
    time = choices.past_time(chance)
    if chance.happens(0.3):
        return say(clause.having(time).fronted(time))
    return say(clause.having(time) if chance.happens(0.7) else clause)


def had_a_thing(chance: Chance, subject: NounPhrase) -> Clause:
    return build.acting(subject, verbs.HAVE, choices.described(chance, chance.pick(nouns_of("ware")), "a", 0.6))


def had_to_act(chance: Chance, subject: NounPhrase) -> Clause:
    modal = chance.pick(("can", "have to", "want to"))
    return build.action(chance, subject, among=verbs.WILLED).with_modal(modal)


def imperative(chance: Chance) -> Pair:
    """Open the window, please! -> Öffne bitte das Fenster!"""
    orders = tuple(verb for verb in verbs.EVERYDAY + verbs.DATIVE if verb.imperative)
    clause = chance.until(
        lambda chance: build.action(chance, pronoun("you"), among=orders),
        lambda clause: not any(part.english in ("you", "me", "us") for part in clause.parts),
    )
    verb, pronouns = clause.verb, sum(part.slot == "pronoun" for part in clause.parts)
    order, middle, closing = verb.english, middle_field(clause), ""
    kind = chance.number(1, 4)
    if kind == 1:
        words = ["lass uns", *middle, verb.prefix + verb.infinitive]
        return say(Pair(f"let us {order} {english_rest(clause)}", " ".join(words)), "!")
    if kind == 2 and not pronouns and build.is_definite(clause):
        order, middle = f"do not {order}", middle_field(clause.negated())
    elif kind == 3:
        middle.insert(pronouns, "bitte")
        closing = ", please"
    words = [verb.imperative, *middle, verb.prefix]
    return say(Pair(f"{order} {english_rest(clause)}".strip() + closing, " ".join(filter(None, words))), "!")


def infinitive_clause(chance: Chance) -> Pair:
    """She tries to open the door. -> Sie versucht, die Tür zu öffnen."""
    kind, subject = chance.number(1, 3), choices.someone(chance)
    goal = build.action(chance, subject, among=verbs.WILLED)
    if kind == 1:
        verb = verbs.OTHER[chance.pick(("try", "promise", "decide", "hope"))]
        tense = "past" if verb.name == "decide" else chance.pick(("present", "past"))
        return sentence("{} {} | {}, {}", Clause(subject, verb, tense=tense), goal.infinitive())
    if kind == 2:
        goal = build.action(chance, pronoun("they"), among=tuple(verb for verb in verbs.WILLED if not verb.reflexive))
        judged = chance.pick(phrases("judgement"))
        return sentence("it is {} {} | es ist {}, {}", judged, goal.infinitive())
    verb = chance.pick(verbs.MOTION[:3])
    trip = Clause(subject, verb, (choices.destination(chance, by_car=verb.english == "drive"),))
    trip = tenses.perhaps_past(chance, trip, 0.5, timed=0.3)
    purpose = chance.pick(tuple(verb for verb in verbs.WILLED if verb.frame == "accusative"))
    goal = build.action(chance, subject, among=(purpose,))
    return sentence("{} in order {} | {}, um {}", trip, goal.infinitive())


def passive(chance: Chance) -> Pair:
    """The house was built in 1985. -> Das Haus wurde 1985 gebaut."""
    fit = [
        verb
        for verb in verbs.TRANSITIVE
        if verb.name not in NEVER_PASSIVE and not verb.is_any("state") and not verb.tail
    ]
    verb = chance.pick(fit)
    noun = chance.pick(nouns_of(*[name for name in verb.classes if name != "kin"]))
    determiner = "the" if noun.belongs_to("person", "mass") else chance.pick(("the", "the", "this"))
    is_plural = choices.perhaps_plural(chance, noun, 0.25)
    subject = choices.described(chance, noun, determiner, 0.4, plural=is_plural)
    clause = Clause(subject, verb, tense=chance.pick(("passive", "past passive", "past passive")))
    if verb.english == "build" or (verb.english in ("write", "buy", "sell", "paint") and chance.happens(0.4)):
        year = chance.number(1900, 2024)
        return say(clause.in_tense("past passive").having(Part(f"in {year}", str(year), "time")))
    if chance.happens(0.55):
        agent = choices.third_person(chance)
        clause = clause.having(Part(*agent.after(Pair("by", "von"), "dative"), "means"))
    if not chance.happens(0.7):
        return say(clause)
    time = choices.present_time(chance) if clause.tense == "passive" else choices.past_time(chance)
    return say(tenses.time_perhaps_first(chance, clause.having(time)))


def conditional(chance: Chance) -> Pair:
    """If I had time, I would visit the museum. -> Wenn ich Zeit hätte, würde ich das Museum besuchen."""
    subject = choices.someone(chance)
    wish = build.action(chance, pronoun_for(subject), among=verbs.WILLED).with_modal("would")
    condition = unreal_condition(chance, subject)
    if chance.happens(0.35):
        return sentence("{} if {} | {}, wenn {}", wish.by(subject), unreal_condition(chance, pronoun_for(subject)))
    return say(wish.after(both("if {} | wenn {}", condition)))


def unreal_condition(chance: Chance, subject: NounPhrase) -> Pair:
    """I had time; I were rich; the weather were better."""
    if chance.happens(0.2):
        return both(
            chance.pick(("the weather were better | das Wetter besser wäre", "it were warmer | es wärmer wäre"))
        )
    if chance.happens(0.4):
        wish = chance.pick(phrases("wish"))
        return both(f"{{}} were {{}} | {{}} {{}} {german.conjugate('wäre', subject.person)}", subject, wish)
    owned = choices.described(
        chance, NOUN[chance.pick(("garden", "car", "bicycle", "computer", "camera", "house"))], "a", 0.4
    )
    thing = chance.pick((*phrases("resource"), owned.as_object("accusative")))
    return both(f"{{}} had {{}} | {{}} {{}} {german.conjugate('hätte', subject.person)}", subject, thing)


PHENOMENA = (
    verb_second,
    separable_verb,
    reflexive_verb,
    modal_verb,
    perfect_tense,
    past_tense,
    imperative,
    infinitive_clause,
    passive,
    conditional,
)
