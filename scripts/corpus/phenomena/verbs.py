"""Position, form and voice of the verb."""

from corpus.clauses import Clause, acting, being
from corpus.draw import Draw
from corpus.german import IRREGULAR, conjugate
from corpus.phrases import PRONOUNS, NounPhrase, Part
from corpus.text import Bilingual, Pair, both, phrases, spaced
from corpus.words import EVERYDAY, HAVE, NOUN, OTHER, TRANSITIVE, WILLED, nouns_of, verbs_of

PLAIN_MODALS = ("can", "must", "have to", "want to", "may", "be allowed to", "should", "would like to")
SEPARABLE_ALONE = tuple(verb for verb in verbs_of("intransitive") + verbs_of("reflexive") if verb.prefix)
COMMANDS = tuple(verb for verb in EVERYDAY + verbs_of("dative") if verb.imperative)
PASSIVE = tuple(v for v in TRANSITIVE if not v.is_any("state", "never_passive") and not v.tail)


def verb_second(draw: Draw) -> Bilingual:
    """Tomorrow we will visit the museum. -> Morgen besuchen wir das Museum."""
    clause = draw.action(among=EVERYDAY) if draw.happens(0.6) else draw.anything()
    kind = draw.number(1, 4)
    if kind == 1:
        where = draw.location()
        acted = draw.action(among=TRANSITIVE[:2] + verbs_of("intransitive")[:4])
        return draw.in_past(acted, timed=0).having(where).fronted(where)
    if kind == 2:
        return draw.in_past(clause, timed=1).time_first()
    return (draw.in_future(clause) if kind == 3 else draw.in_present(clause, timed=1)).time_first()


def separable_verb(draw: Draw) -> Bilingual:
    """She gets up every day. -> Sie steht jeden Tag auf."""
    clause = draw.action(among=verbs_of("separable") if draw.happens(0.65) else SEPARABLE_ALONE)
    if draw.happens(0.3) and clause.verb.particle:
        it = PRONOUNS[draw.pick(("he", "she", "they"))]
        clause = acting(clause.subject, clause.verb, it) if "person" in clause.verb.classes else clause
    kind = draw.number(1, 4)
    if kind == 1:
        return clause.with_modal(draw.pick(PLAIN_MODALS))
    if kind == 2:
        opening = draw.pick(("I know that {} | ich weiß, dass {}", "I hope that {} | ich hoffe, dass {}"))
        return draw.in_any_tense(clause).final(opening)
    return draw.in_any_tense(clause)


def reflexive_verb(draw: Draw) -> Bilingual:
    """I look forward to the journey. -> Ich freue mich auf die Reise."""
    if draw.happens(0.2):
        mood = draw.listed("calm mood", "predicate")
        clause = Clause(draw.someone(), OTHER["feel"], (mood,))
    else:
        clause = draw.action(among=verbs_of("reflexive"))
    if clause.verb.imperative and draw.happens(0.4):
        return clause.with_modal(draw.pick(("can", "must", "want to", "should")))
    return draw.time_first(draw.in_any_tense(clause))


def modal_verb(draw: Draw) -> Bilingual:
    """He wants to read the book. -> Er will das Buch lesen."""
    clause = draw.anything()
    if clause.verb.classes and not clause.verb.imperative:
        clause = draw.action(among=WILLED)
    modal = draw.pick(PLAIN_MODALS)
    if modal in ("can", "have to", "want to") and draw.happens(0.3):
        return draw.in_past(clause).with_modal(modal)
    clause = clause.with_modal(modal)
    return draw.time_first(clause.having(draw.future_time()), 0.4) if draw.happens(0.35) else clause


def perfect_tense(draw: Draw) -> Bilingual:
    """She went home yesterday. -> Sie ist gestern nach Hause gegangen."""
    clause = draw.anything()
    if not draw.happens(0.25):
        return draw.in_past(clause)
    already = Part("already", "schon", "frequency")
    return clause if clause.verb.is_any("no_past") else clause.in_tense("perfect").having(already)


def past_tense(draw: Draw) -> Bilingual:
    """My uncle was ill last week. -> Mein Onkel war letzte Woche krank."""
    kind, subject = draw.number(1, 4), draw.someone()
    if kind == 1:
        clause = draw.state(subject)
    elif kind == 2:
        clause = being(subject, draw.location())
    elif kind == 3:
        clause = acting(subject, HAVE, draw.described(draw.pick(nouns_of("ware")), "a", 0.6))
    else:
        modal = draw.pick(("can", "have to", "want to"))
        clause = draw.action(subject, among=WILLED).with_modal(modal)
    timed = clause.in_past().having(draw.past_time())
    if draw.happens(0.3):
        return timed.time_first()
    return timed if draw.happens(0.7) else clause.in_past()


def imperative(draw: Draw) -> Bilingual:
    """Open the window, please! -> Öffne bitte das Fenster!"""
    clause = draw.until(
        lambda: draw.action(PRONOUNS["you"], among=COMMANDS),
        # An order does not name speaker or hearer as its object
        lambda clause: not any(part.english in ("you", "me", "us") for part in clause.parts),
    )
    verb, pronouns, kind = clause.verb, clause.count("pronoun"), draw.number(1, 4)
    order, middle, end = verb.english, clause.middle_field(), "!"
    if kind == 1:
        german = spaced("lass uns", *middle, verb.prefix + verb.infinitive)
        return Pair(f"let us {order} {clause.english_rest()}!", german + "!")
    if kind == 2 and not pronouns and clause.is_definite():
        order, middle = f"do not {order}", clause.negated().middle_field()
    elif kind == 3:
        middle.insert(pronouns, "bitte")  # pronouns come directly after the verb: "hilf ihm bitte"
        end = ", please!"
    return Pair(spaced(order, clause.english_rest()) + end, spaced(verb.imperative, *middle, verb.prefix) + "!")


def infinitive_clause(draw: Draw) -> Bilingual:
    """She tries to open the door. -> Sie versucht, die Tür zu öffnen."""
    kind, subject = draw.number(1, 3), draw.someone()
    goal = draw.action(subject, among=WILLED)
    if kind == 1:
        verb = OTHER[draw.pick(("try", "promise", "decide", "hope"))]
        tense = "past" if verb.name == "decide" else draw.pick(("present", "past"))
        return both("{} {} | {}, {}", Clause(subject, verb, tense=tense), goal.infinitive())
    if kind == 2:
        goal = draw.action(PRONOUNS["they"], among=[verb for verb in WILLED if not verb.reflexive])
        return both("it is {} {} | es ist {}, {}", draw.pick(phrases("judgement")), goal.infinitive())
    verb = draw.pick(verbs_of("motion")[:3])
    trip = Clause(subject, verb, (draw.destination(by_car=verb.english == "drive"),))
    trip = draw.perhaps_past(trip, 0.5, timed=0.3)
    purpose = draw.pick([verb for verb in WILLED if verb.frame == "accusative"])
    return both("{} in order {} | {}, um {}", trip, draw.action(subject, among=[purpose]).infinitive())


def passive(draw: Draw) -> Bilingual:
    """The house was built in 1985. -> Das Haus wurde 1985 gebaut."""
    verb = draw.pick(PASSIVE)
    noun = draw.pick(nouns_of(*[name for name in verb.classes if name != "kin"]))
    determiner = "the" if noun.belongs_to("person", "mass") else draw.pick(("the", "the", "this"))
    subject = draw.described(noun, determiner, 0.4, plural=noun.countable and draw.happens(0.25))
    clause = Clause(subject, verb, tense=draw.pick(("passive", "past passive", "past passive")))
    if verb.english == "build" or (verb.english in ("write", "buy", "sell", "paint") and draw.happens(0.4)):
        year = draw.number(1900, 2024)
        # German has the bare year
        return clause.in_tense("past passive").having(Part(f"in {year}", str(year), "time"))
    if draw.happens(0.55):
        clause = clause.having(Part(*draw.someone(pronouns=0).after(Pair("by", "von"), "dative"), "means"))
    if not draw.happens(0.7):
        return clause
    return draw.time_first(clause.having(draw.present_time() if clause.tense == "passive" else draw.past_time()))


def conditional(draw: Draw) -> Bilingual:
    """If I had time, I would visit the museum. -> Wenn ich Zeit hätte, würde ich das Museum besuchen."""
    subject = draw.someone()
    wish = draw.action(subject.as_pronoun(), among=WILLED).with_modal("would")
    condition = unreal_condition(draw, subject)
    if not draw.happens(0.35):
        return wish.after(both("if {} | wenn {}", condition))
    wish = Clause(subject, wish.verb, wish.parts, modal="would")
    return both("{} if {} | {}, wenn {}", wish, unreal_condition(draw, subject.as_pronoun()))


def unreal_condition(draw: Draw, subject: NounPhrase) -> Pair:
    """I had time; I were rich; the weather were better."""
    if draw.happens(0.2):
        return both(draw.pick(("the weather were better | das Wetter besser wäre", "it were warmer | es wärmer wäre")))
    if draw.happens(0.4):
        verb, what = Pair("were", conjugate(IRREGULAR["wäre"], subject.person)), draw.pick(phrases("wish"))
    else:
        noun = NOUN[draw.pick(("garden", "car", "bicycle", "computer", "camera", "house"))]
        verb = Pair("had", conjugate(IRREGULAR["hätte"], subject.person))
        what = draw.pick((*phrases("resource"), draw.described(noun, "a", 0.4).case("accusative")))
    return both("{0} {1} {2} | {0} {2} {1}", subject, verb, what)
