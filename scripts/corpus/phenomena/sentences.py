"""Clauses joined, denied and asked, and where the two languages differ."""

from dataclasses import replace

from corpus import build, choices, tenses
from corpus.chance import Chance
from corpus.clauses import Clause, german_main, german_question
from corpus.phenomena.agreement import DESCRIBABLE, predicate
from corpus.phenomena.subordinate import circumstance
from corpus.phrases import NounPhrase, Part, noun_phrase, pronoun, pronoun_for
from corpus.tables import phrases
from corpus.text import Bilingual, Pair, both, say, sentence
from corpus.verbs import BE, DATIVE, HAVE, SIMPLY_WILLED, TRANSITIVE, VERB, WILLED
from corpus.words import NOUN, nouns_of

AND, BUT, OR = "{}, and {} | {}, und {}", "{}, but {} | {}, aber {}", "{}, or {} | {}, oder {}"


def conjunction(chance: Chance) -> Pair:
    """Peter reads a book, and Anna sings a song. -> Peter liest ein Buch, und Anna singt ein Lied."""
    kind, subject = chance.number(1, 5), choices.someone(chance)
    if kind == 4:
        return therefore(chance, subject)
    if kind == 5:
        return both_objects(chance, subject)
    other = choices.someone_else(chance, subject)
    first = build.anything(chance, subject)
    second = build.anything(chance, pronoun_for(subject) if kind == 3 else other)
    if kind != 3:
        first = tenses.perhaps_past(chance, first, 0.3, timed=0.2)
    return sentence((AND, BUT, OR)[kind - 1], first, second)


def therefore(chance: Chance, subject: NounPhrase) -> Pair:
    """It is cold, so she stays at home. After deshalb the verb comes first."""
    cause = circumstance(chance, subject)
    feels = chance.happens(0.3) and cause.verb is not BE
    outcome = (build.state if feels else build.anything)(chance, pronoun_for(subject))
    return sentence("{}, so {} | {}, {}", cause, Pair(outcome.english, german_main(outcome, front="deshalb")))


def both_objects(chance: Chance, subject: NounPhrase) -> Pair:
    """She buys a book and two pears."""
    nouns = chance.shuffled(nouns_of("food", "drink", "ware"))[:2]
    things = [choices.some_phrase(chance, noun, described=0.2).as_object("accusative") for noun in nouns]
    verb = VERB["bring along" if any(noun.belongs_to("drink") for noun in nouns) else "buy"]
    goal = Part(*both("{} and {} | {} und {}", *things), "accusative")
    return say(tenses.in_any_tense(chance, Clause(subject, verb, (goal,))))


def negation(chance: Chance) -> Pair:
    """He does not have a car. -> Er hat kein Auto.   I do not read the book. -> Ich lese das Buch nicht."""
    subject, kind = choices.someone(chance), chance.number(1, 4)
    if kind == 1:
        return say(without_any(chance, subject))
    if kind == 2:
        return say(not_so(chance))
    clause = build.anything(chance, subject)
    if not build.is_definite(clause):
        clause = (build.journey if chance.happens(0.4) else build.state)(chance, subject)
    shown = tenses.in_any_tense(chance, clause)
    if shown.tense == "progressive":
        shown = shown.in_tense("present")
    shown = replace(shown, parts=tuple(part for part in shown.parts if not is_repeated(part))).negated()
    if kind == 4 and shown.tense == "present" and not shown.verb.is_any("state") and shown.verb.name != "be":
        shown = shown.with_modal(chance.pick(("can", "want to", "have to", "must")))
        # English must not forbids: German darf nicht
        return say(Pair(shown.english, shown.with_modal("may").german) if shown.modal == "must" else shown)
    return say(shown)


def is_repeated(part: Part) -> bool:
    """Return True for adverbials that "not" would seem to deny: every week, often, soon."""
    return part.slot == "frequency" or part.english.startswith("every ") or part.english == "soon"


def without_any(chance: Chance, subject: NounPhrase) -> Clause:
    """An indefinite object: not a car, not any cars; German kein."""
    bought = [verb for verb in TRANSITIVE if verb.takes_any("ware", "text", "food", "drink")]
    verb = chance.pick((HAVE, *bought))
    noun = chance.pick(nouns_of(*[name for name in verb.classes if name not in ("person", "kin")]))
    plural = choices.perhaps_plural(chance, noun, 0.4)
    adjective = choices.adjective_for(chance, noun, 0.25)
    none = noun_phrase(noun, "no", adjective, plural=plural)
    article = "any" if plural or noun.belongs_to("mass") else "a"
    shown = noun_phrase(noun, article, adjective, plural=plural).english
    clause = Clause(subject, verb, (Part(shown, none.case("accusative"), "accusative"),), negation="kein")
    return clause if verb is HAVE else tenses.in_any_tense(chance, clause)


def not_so(chance: Chance) -> Clause:
    """The film was not good."""
    noun = chance.pick(DESCRIBABLE)
    phrase = noun_phrase(noun, chance.pick(choices.OWNERS) if noun.belongs_to("kin") else "the")
    tense = chance.pick(("present", "past"))
    return build.being(phrase, predicate(choices.suitable(chance, noun))).in_tense(tense).negated()


def word_order(chance: Chance) -> Pair:
    """We travel to Rome by train next week. -> Wir reisen nächste Woche mit dem Zug nach Rom."""
    subject = choices.someone(chance)
    verb = VERB[chance.pick(("drive", "travel", "come"))]
    goal = choices.city_destination(chance) if verb.english == "travel" else choices.destination(chance, by_car=True)
    way = choices.means(chance, goal)
    if chance.happens(0.3):
        way = Part(*choices.person_besides(chance, subject).after(Pair("with", "mit"), "dative"), "means")
    clause = tenses.in_any_tense(chance, Clause(subject, verb, (goal, way)))
    if clause.tense in ("present", "future") and chance.happens(0.3):
        clause = clause.with_modal(chance.pick(("can", "want to", "must"))).in_tense("present")
    return say(tenses.time_perhaps_first(chance, clause))


def formal_address(chance: Chance) -> Pair:
    """Mrs. Weber, can you call me? -> Frau Weber, können Sie mich anrufen?"""
    name = both("{} {}, | {} {},", chance.pick(phrases("title")), chance.pick(phrases("surname")))
    you, kind = pronoun("you (formal)"), chance.number(1, 3)
    clause = build.action(chance, you, among=tuple(verb for verb in WILLED if not verb.reflexive))
    while any(part.english.startswith("your ") for part in clause.parts):
        clause = build.action(chance, you, among=WILLED)
    if kind == 1:
        polite = clause.with_modal(chance.pick(("can", "would like to", "have to", "want to")))
        return sentence("{} {} | {} {}", name, polite.question(), mark="?")
    if kind == 2:
        return sentence("{} {} | {} {}", name, tenses.in_any_tense(chance, clause).question(), mark="?")
    asked = german_question(clause).split(" ")
    asked.insert(2 + sum(part.slot == "pronoun" for part in clause.parts), "bitte")
    request = Pair(clause.english.removeprefix("you "), " ".join(asked))
    return sentence("{} please {} | {} {}", name, request, mark="!")


def idiom(chance: Chance) -> Pair:
    """She likes to read the newspaper. -> Sie liest gern die Zeitung.   I am hungry. -> Ich habe Hunger."""
    subject = choices.someone(chance)
    return say(chance.recipe((2, likes_to), (1, has_a_need), (1, there_is), (1, language))(chance, subject))


def likes_to(chance: Chance, subject: NounPhrase) -> Bilingual:
    clause = build.anything(chance, subject)
    if clause.verb.is_any("state", "sudden") or clause.verb.frame == "dative":
        clause = build.activity(chance, subject)
    like = Clause(subject, replace(clause.verb, english="like", tail="", particle=""))
    german = clause.having(Part("", "gern", "frequency")).german
    return Pair(f"{like.english} {clause.infinitive().english}", german)


def has_a_need(chance: Chance, subject: NounPhrase) -> Bilingual:
    """I am in a hurry: German has hunger, and "has it hurried"."""
    english, german = chance.pick(phrases("need"))
    tense = chance.pick(("present", "past"))
    feeling = build.being(subject, Part(english, "", "predicate")).in_tense(tense)
    words = tuple(Part("", word, "pronoun" if word == "es" else "accusative") for word in german.split())
    having = Clause(subject, HAVE, words, tense)
    if tense == "past" and chance.happens(0.7):
        time = choices.past_time(chance)
        feeling, having = feeling.having(time), having.having(time)
    return Pair(feeling.english, having.german)


def language(chance: Chance, subject: NounPhrase) -> Bilingual:
    name = choices.listed(chance, "language", "accusative")
    clause = Clause(subject, VERB[chance.pick(("understand", "learn"))], (name,))
    return tenses.in_any_tense(chance, clause) if clause.verb.name == "learn" else clause


def there_is(chance: Chance, _: NounPhrase) -> Bilingual:
    """There is a bakery in the village. -> Im Dorf gibt es eine Bäckerei."""
    where = choices.location(chance, NOUN[chance.pick(("village", "city"))])
    if chance.happens(0.5):
        where = choices.in_a_city(chance)
    outdoors = (NOUN[name] for name in ("park", "market", "lake", "forest", "street"))
    noun = chance.pick((*nouns_of("building"), *outdoors))
    adjective = choices.adjective_for(chance, noun, 0.5)
    plural = chance.happens(0.5)
    count = chance.pick(("many", "two", "three", "four", "no")) if plural else chance.pick(("a", "a", "no"))
    thing = noun_phrase(noun, count, adjective, plural=plural).as_object("accusative")
    return both(f"there {'are' if plural else 'is'} {{0}} {{1}} | {{1}} gibt es {{0}}", thing, where)


def question(chance: Chance) -> Pair:
    """Where did you buy the book? -> Wo hast du das Buch gekauft?"""
    return say(asked(chance), "?")


def asked(chance: Chance) -> Bilingual:
    return chance.recipe((1, whether), (1, whether_modal), (1, who), (1, which), (1, where), (1, why_or_when))(chance)


def asked_about(chance: Chance) -> NounPhrase:
    return chance.until(choices.someone, lambda phrase: phrase.english != "I")


def plain_past(chance: Chance, clause: Clause) -> Clause:
    return clause.in_past() if not clause.verb.is_any("no_past") and chance.happens(0.5) else clause


def whether(chance: Chance) -> Bilingual:
    return tenses.in_any_tense(chance, build.anything(chance, asked_about(chance))).question()


def whether_modal(chance: Chance) -> Bilingual:
    clause = build.action(chance, asked_about(chance), among=WILLED)
    return clause.with_modal(chance.pick(("can", "want to", "may", "should"))).question()


def why_or_when(chance: Chance) -> Bilingual:
    word = chance.pick(phrases("question word"))
    clause = build.anything(chance, asked_about(chance))
    return (clause if word.english == "how often" else plain_past(chance, clause)).question(word)


def where(chance: Chance) -> Bilingual:
    """Where does Anna dance? Without the location that answers it."""
    clause = build.activity(chance, asked_about(chance))
    if chance.happens(0.5):
        clause = build.action(chance, clause.subject, among=TRANSITIVE[:6])
    return plain_past(chance, clause.without("place")).question(Pair("where", "wo"))


def who(chance: Chance) -> Bilingual:
    """Who is the subject: Wer liest das Buch? Who is the object: Wen besuchst du? Wem hilfst du?"""
    word = NounPhrase("who", "whom", ("wer", "wen", "wem", "wessen"), "masculine", "3s")
    if chance.happens(0.5):
        return tenses.in_any_tense(chance, build.anything(chance, word))
    verb = chance.pick([verb for verb in TRANSITIVE + DATIVE if "person" in verb.classes and not verb.tail])
    clause = tenses.in_any_tense(chance, Clause(asked_about(chance), verb))
    return clause.question(word.as_object(verb.frame))


def which(chance: Chance) -> Bilingual:
    """Which book do you read? How many books? What?"""
    verb = chance.pick([verb for verb in SIMPLY_WILLED if verb.frame == "accusative"])
    nouns = [noun for noun in nouns_of(*verb.classes) if not noun.belongs_to("kin", "mass")]
    if not nouns:
        return asked(chance)
    noun, kind = chance.pick(nouns), chance.number(1, 3)
    clause = tenses.in_any_tense(chance, Clause(asked_about(chance), verb))
    if kind == 1:
        return who(chance) if "person" in verb.classes else clause.question(Pair("what", "was"))
    if kind == 2 and noun.countable:
        return clause.question(Pair(f"how many {noun.english_plural}", f"wie viele {noun.german_plural}"))
    return clause.question(noun_phrase(noun, "which").as_object("accusative"))


PHENOMENA = (conjunction, negation, word_order, formal_address, idiom, question)
