"""Clauses joined, denied and asked, and where the two languages differ."""

from corpus.clauses import Clause, being
from corpus.draw import OWNERS, Draw
from corpus.phenomena.nouns import DESCRIBABLE, predicate
from corpus.phenomena.subordinate import WITH_PERSON, circumstance
from corpus.phrases import PRONOUNS, NounPhrase, Part, noun_phrase
from corpus.text import Bilingual, Pair, both, phrases
from corpus.words import BE, HAVE, NOUN, SIMPLY_WILLED, TRANSITIVE, VERB, WILLED, nouns_of

OUTDOORS = ("park", "market", "lake", "forest", "street")
SPEAKER = PRONOUNS["I"]  # one does not ask about oneself
AND, BUT, OR = "{}, and {} | {}, und {}", "{}, but {} | {}, aber {}", "{}, or {} | {}, oder {}"


def conjunction(draw: Draw) -> Bilingual:
    """Peter reads a book, and Anna sings a song. -> Peter liest ein Buch, und Anna singt ein Lied."""
    kind, subject = draw.number(1, 5), draw.someone()
    if kind == 4:
        cause = circumstance(draw, subject)
        feels = draw.happens(0.3) and cause.verb is not BE  # not: he is sad, so he is tired
        outcome = (draw.state if feels else draw.anything)(subject.as_pronoun())
        # "deshalb" takes the first position, so the verb comes before the subject
        return both("{}, so {} | {}, {}", cause, Pair(outcome.english, outcome.german_main(front="deshalb")))
    if kind == 5:
        nouns = draw.shuffled(nouns_of("food", "drink", "ware"))[:2]
        things = [draw.some(noun, described=0.2).case("accusative") for noun in nouns]
        verb = VERB["bring along" if any(noun.belongs_to("drink") for noun in nouns) else "buy"]
        goal = Part(*both("{} and {} | {} und {}", *things), "accusative")
        return draw.in_any_tense(Clause(subject, verb, (goal,)))
    other = draw.someone_else(subject)
    first = draw.anything(subject)
    second = draw.anything(subject.as_pronoun() if kind == 3 else other)
    return both((AND, BUT, OR)[kind - 1], first if kind == 3 else draw.perhaps_past(first, 0.3, timed=0.2), second)


def negation(draw: Draw) -> Bilingual:
    """He does not have a car. -> Er hat kein Auto.   I do not read the book. -> Ich lese das Buch nicht."""
    subject, kind = draw.someone(), draw.number(1, 4)
    if kind == 1:
        verb = draw.pick([HAVE, *(verb for verb in TRANSITIVE if verb.takes_any("ware", "text", "food", "drink"))])
        noun = draw.pick(nouns_of(*[name for name in verb.classes if name not in ("person", "kin")]))
        plural = noun.countable and draw.happens(0.4)
        adjective = draw.adjective_for(noun, 0.25)
        any_one = noun_phrase(noun, "any" if plural or noun.belongs_to("mass") else "a", adjective, plural=plural)
        none = noun_phrase(noun, "no", adjective, plural=plural).case("accusative").german
        clause = Clause(subject, verb, (Part(any_one.english, none, "accusative"),), negation="kein")
        return clause if verb is HAVE else draw.in_any_tense(clause)
    if kind == 2:
        noun = draw.pick(DESCRIBABLE)
        thing = noun_phrase(noun, draw.pick(OWNERS) if noun.belongs_to("kin") else "the")
        tense = draw.pick(("present", "past"))
        return being(thing, predicate(draw.adjective_for(noun))).in_tense(tense).negated()
    clause = draw.anything(subject)
    if not clause.is_definite():  # that would take kein, which the first kind shows
        clause = (draw.journey if draw.happens(0.4) else draw.state)(subject)
    clause = draw.in_any_tense(clause)
    # "gerade nicht" would mean "not at the moment", which English does not say here
    clause = clause.in_tense("present") if clause.tense == "progressive" else clause
    # "not" would seem to deny often, every week and soon too
    clause = clause.without(lambda part: part.slot == "frequency" or part.english.split()[0] in ("every", "soon"))
    clause = clause.negated()
    if kind == 4 and clause.tense == "present" and not clause.verb.is_any("state") and clause.verb.name != "be":
        clause = clause.with_modal(draw.pick(("can", "want to", "have to", "must")))
    # English must not forbids: German darf nicht
    return Pair(clause.english, clause.with_modal("may").german) if clause.modal == "must" else clause


def word_order(draw: Draw) -> Bilingual:
    """We travel to Rome by train next week. -> Wir reisen nächste Woche mit dem Zug nach Rom."""
    subject = draw.someone()
    verb = VERB[draw.pick(("drive", "travel", "come"))]
    goal = draw.city("to", "direction") if verb.english == "travel" else draw.destination(by_car=True)
    way = draw.listed("means to a city" if goal.is_city else "means nearby", "means")
    if draw.happens(0.3):
        way = Part(*draw.person_besides(subject).after(Pair("with", "mit"), "dative"), "means")
    clause = draw.in_any_tense(Clause(subject, verb, (goal, way)))
    if clause.tense in ("present", "future") and draw.happens(0.3):
        clause = clause.with_modal(draw.pick(("can", "want to", "must"))).in_tense("present")  # no "will can"
    return draw.time_first(clause)


def formal_address(draw: Draw) -> Bilingual:
    """Mrs. Weber, can you call me? -> Frau Weber, können Sie mich anrufen?"""
    name = both("{} {}, | {} {},", draw.pick(phrases("title")), draw.pick(phrases("surname")))
    you, kind = PRONOUNS["you (formal)"], draw.number(1, 3)
    clause = draw.action(you, among=[verb for verb in WILLED if not verb.reflexive])
    while any(part.english.startswith("your ") for part in clause.parts):  # dein would be familiar
        clause = draw.action(you, among=WILLED)
    if kind == 1:
        clause = clause.with_modal(draw.pick(("can", "would like to", "have to", "want to")))
    elif kind == 2:
        clause = draw.in_any_tense(clause)
    asked = clause.question()
    if kind < 3:
        return both("{} {} | {} {}", name, asked)
    request = asked.german.removesuffix("?").split(" ")
    request.insert(2 + clause.count("pronoun"), "bitte")
    return both("{} please {}! | {} {}!", name, Pair(clause.english.removeprefix("you "), " ".join(request)))


def idiom(draw: Draw) -> Bilingual:
    """She likes to read the newspaper. -> Sie liest gern die Zeitung.   I am hungry. -> Ich habe Hunger."""
    subject, kind = draw.someone(), draw.number(1, 5)
    if kind <= 2:
        clause = draw.anything(subject)
        if clause.verb.is_any("state", "sudden") or clause.verb.frame == "dative":
            clause = draw.activity(subject)
        german = clause.having(Part("", "gern", "frequency")).german
        return both("{} {} | {1}", Clause(subject, VERB["like"]), Pair(clause.infinitive().english, german))
    if kind == 3:
        need, tense = draw.pick(phrases("need")), draw.pick(("present", "past"))
        times = [draw.past_time()] if tense == "past" and draw.happens(0.7) else []
        owned = [Part("", word, "pronoun" if word == "es" else "accusative") for word in need.german.split()]
        feeling = being(subject, Part(need.english, "", "predicate")).in_tense(tense).having(*times)
        return Pair(feeling.english, Clause(subject, HAVE, (*owned, *times), tense).german)
    if kind == 4:
        where = draw.location("village", "city")
        where = draw.city("in", "location") if draw.happens(0.5) else where
        noun = draw.pick((*nouns_of("building"), *(NOUN[name] for name in OUTDOORS)))
        adjective, plural = draw.adjective_for(noun, 0.5), draw.happens(0.5)
        count = draw.pick(("many", "two", "three", "four", "no") if plural else ("a", "a", "no"))
        thing = noun_phrase(noun, count, adjective, plural=plural)
        there_is = "there are {} {} | {1} gibt es {0}" if plural else "there is {} {} | {1} gibt es {0}"
        return both(there_is, thing.case("accusative"), where)
    language = draw.listed("language", "accusative")
    clause = Clause(subject, VERB[draw.pick(("understand", "learn"))], (language,))
    return draw.in_any_tense(clause) if clause.verb.name == "learn" else clause


def question(draw: Draw) -> Bilingual:
    """Where did you buy the book? -> Wo hast du das Buch gekauft?"""
    kind = draw.number(1, 6)
    if kind in (3, 4):
        return ask_who(draw) if kind == 3 else ask_which(draw)
    if kind == 6:
        word = draw.pick(phrases("question word"))
        clause = draw.anything(draw.someone_else(SPEAKER))
        return (clause if word.english == "how often" else plain_past(draw, clause)).question(word)
    subject = draw.someone_else(SPEAKER)
    if kind == 1:
        return draw.in_any_tense(draw.anything(subject)).question()
    if kind == 2:
        clause = draw.action(subject, among=WILLED)
        return clause.with_modal(draw.pick(("can", "want to", "may", "should"))).question()
    clause = draw.activity(subject)
    clause = draw.action(subject, among=TRANSITIVE[:6]) if draw.happens(0.5) else clause
    # The question leaves out the location that answers it
    clause = plain_past(draw, clause.without(lambda part: part.slot == "location"))
    return clause.question(Pair("where", "wo"))


def plain_past(draw: Draw, clause: Clause) -> Clause:
    return clause.in_past() if not clause.verb.is_any("no_past") and draw.happens(0.5) else clause


def ask_who(draw: Draw) -> Bilingual:
    """Who is the subject: Wer liest das Buch? Who is the object: Wen besuchst du? Wem hilfst du?"""
    who = NounPhrase("who", "whom", ("wer", "wen", "wem", "wessen"), "masculine", "3s")
    if draw.happens(0.5):
        return both("{}? | {}?", draw.in_any_tense(draw.anything(who)))
    verb = draw.pick(WITH_PERSON)
    return draw.in_any_tense(Clause(draw.someone_else(SPEAKER), verb)).question(who.case(verb.frame))


def ask_which(draw: Draw) -> Bilingual:
    """Which book do you read? How many books? What?"""
    verb = draw.pick([verb for verb in SIMPLY_WILLED if verb.frame == "accusative"])
    nouns = [noun for noun in nouns_of(*verb.classes) if not noun.belongs_to("kin", "mass")]
    if not nouns:  # everything one drinks is a mass: "which water" is no question of this kind
        return question(draw)
    noun, kind = draw.pick(nouns), draw.number(1, 3)
    clause = draw.in_any_tense(Clause(draw.someone_else(SPEAKER), verb))
    if kind == 1:
        return ask_who(draw) if verb.takes_any("person") else clause.question(Pair("what", "was"))
    if kind == 2 and noun.countable:
        return clause.question(Pair(f"how many {noun.english_plural}", f"wie viele {noun.plural[0]}"))
    return clause.question(noun_phrase(noun, "which").case("accusative"))
