"""Random words, phrases and clauses that make sense together."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from corpus.clauses import Clause, being
from corpus.phrases import PRONOUNS, NounPhrase, Part, noun_phrase
from corpus.text import Bilingual, Pair, phrases, read_rows
from corpus.words import ADJECTIVES, NO_ADJECTIVE, NOUN, TRANSITIVE, Adjective, Noun, Verb, nouns_of, verbs_of

Item = TypeVar("Item")

OWNERS = ("my", "my", "your", "his", "her", "our", "their")
SMALL_NUMBERS = ("two", "three", "four", "five")
PEOPLE = nouns_of("person")
STRANGERS = tuple(noun for noun in PEOPLE if not noun.belongs_to("kin"))
HOME = Part("home", "nach Hause", "direction")
# English noun -> prepositions of location, German preposition of direction and its case
LOCATIONS = {noun: row for noun, *row in read_rows("locations")}


class Draw:
    """A seeded source of choices, the same on every Python version: it rests on Random.random() alone."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)

    def happens(self, probability: float) -> bool:
        return self.source.random() < probability

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.source.random() * (high - low + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.number(0, len(items) - 1)]

    def until(self, make: Callable[[], Item], accept: Callable[[Item], bool]) -> Item:
        while not accept(made := make()):  # rejected draws move the source on, as accepted ones do
            pass
        return made

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        # random.shuffle may draw otherwise in another Python version
        keyed = [(self.source.random(), index) for index in range(len(items))]
        return [items[index] for _, index in sorted(keyed)]

    def listed(self, name: str, slot: str) -> Part:
        """A part of a clause from one of the lists of phrases."""
        return Part(*self.pick(phrases(name)), slot)

    def adjective_for(self, noun: Noun, probability: float = 1) -> Adjective:
        """An adjective that suits the noun, with the given probability; else NO_ADJECTIVE."""
        described = self.happens(probability)
        fitting = [adjective for adjective in ADJECTIVES if described and noun.belongs_to(*adjective.classes)]
        return self.pick(fitting) if fitting else NO_ADJECTIVE

    def described(self, noun: Noun, determiner: str, probability: float, *, plural: bool = False) -> NounPhrase:
        """The noun with a determiner and, with the given probability, an adjective."""
        return noun_phrase(noun, determiner, self.adjective_for(noun, probability), plural=plural)

    def determiner(self, noun: Noun, *, plural: bool) -> str:
        if noun.belongs_to("kin"):
            return self.pick(OWNERS)
        if plural:
            bare = () if noun.belongs_to("person") else ("",)
            # Drawn before the number: the order of the draws is part of the corpus
            owners = () if noun.belongs_to("person", "transport", "area") else (self.pick(OWNERS),)
            return self.pick(("the", "the", *bare, "this", "many", self.pick(SMALL_NUMBERS), "all the", *owners))
        if noun.belongs_to("event"):
            return self.pick(("the", "the", "a", "this", "our"))
        if noun.belongs_to("mass"):
            return self.pick(("", "", "", "the"))
        if noun.belongs_to("person", "transport", "area", "public"):
            return self.pick(("the", "the", "the", "a", "this"))
        return self.pick(("the", "the", "the", "a", "a", "a", "this", self.pick(OWNERS), self.pick(OWNERS)))

    def some(self, noun: Noun, *, described: float = 0.3, plural: float = 0.2) -> NounPhrase:
        """The noun with a determiner that suits it, perhaps an adjective, perhaps in the plural."""
        is_plural = noun.countable and self.happens(plural)
        return self.described(noun, self.determiner(noun, plural=is_plural), described, plural=is_plural)

    def someone(self, *, pronouns: float = 0.4) -> NounPhrase:
        """A person as a subject: a pronoun, a name, or a noun."""
        if self.happens(pronouns):
            # An item that stands twice is drawn twice as often
            return PRONOUNS[self.pick(("I", "I", "you", "he", "she", "we", "they"))]
        if self.happens(0.35):
            return self.name()
        return self.some(self.pick(PEOPLE), described=0.15, plural=0.12)

    def someone_else(self, subject: NounPhrase) -> NounPhrase:
        return self.until(self.someone, lambda other: other.english != subject.english)

    def name(self) -> NounPhrase:
        name, gender = self.pick(read_rows("names"))
        return NounPhrase(name, name, (name, name, name, name + "s"), gender, "3s")

    def person_object(self) -> NounPhrase:
        """A person as an object; pronouns of the third person, "me" and "us" among them."""
        if self.happens(0.35):
            return PRONOUNS[self.pick(("I", "he", "she", "we", "they"))]
        return self.someone(pronouns=0)

    def person_besides(self, subject: NounPhrase) -> NounPhrase:
        return self.until(self.person_object, lambda phrase: not subject.is_same_person(phrase))

    def past_time(self) -> Part:
        if not self.happens(0.35):
            return self.listed("past time", "time")
        count = self.pick(("a", *SMALL_NUMBERS, "six", "ten"))
        unit = self.pick(("week", "month", "year") if count == "a" else ("day", "week", "month", "year"))
        span = noun_phrase(NOUN[unit], count, plural=count != "a")
        return Part(f"{span.english} ago", f"vor {span.case('dative').german}", "time")

    def future_time(self) -> Part:
        return self.listed("weekday" if self.happens(0.4) else "future time", "time")

    def present_time(self) -> Part:
        return self.listed("season" if self.happens(0.15) else "present time", "time")

    def city(self, preposition: str, slot: str) -> Part:
        english, german = self.pick(phrases("city"))
        return Part(f"{preposition} {english}", f"{'nach' if preposition == 'to' else preposition} {german}", slot)

    def location(self, *names: str) -> Part:
        """Where something happens: "in the park", "im Park"; or a city; or one of the names."""
        if not names and self.happens(0.15):
            return self.city("in", "location")
        name = self.pick(names or tuple(LOCATIONS))
        english, german, _, _ = LOCATIONS[name]
        return Part(*self.described(NOUN[name], "the", 0.15).after(Pair(english, german), "dative"), "location")

    def destination(self, *, by_car: bool) -> Part:
        """Where to: "to the park", "in den Park"; "to Berlin", "nach Berlin"; by car not to a kitchen."""
        if self.happens(0.08):
            return HOME
        if self.happens(0.25):
            return self.city("to", "direction")
        unreached = ("kitchen", "cellar") if by_car else ()
        name = self.until(lambda: self.pick(tuple(LOCATIONS)), lambda name: name not in unreached)
        _, _, german, case = LOCATIONS[name]
        return Part(*self.described(NOUN[name], "the", 0.12).after(Pair("to", german), case), "direction")

    def action(self, subject: NounPhrase | None = None, among: Sequence[Verb] = (), described: float = 0.3) -> Clause:
        """Someone does something to something."""
        subject = subject or self.someone()
        verb = self.pick(among or self.pick((TRANSITIVE, TRANSITIVE, TRANSITIVE, verbs_of("separable"))))
        clause = Clause(subject, verb)
        if verb.group == "ditransitive":
            clause = clause.having(self.person_besides(subject).as_part("dative"))
        if verb.classes:
            goal = self.until(lambda: self.object_of(verb, described), lambda goal: not subject.is_same_person(goal))
            clause = clause.having(goal.as_object_of(verb))
        if verb.is_any("careful") and clause.is_definite() and self.happens(0.2):
            return clause.having(self.listed("careful manner", "manner"))
        return clause

    def object_of(self, verb: Verb, described: float) -> NounPhrase:
        """Something that the verb can be done to, by the classes in its table."""
        if verb.classes[0] == "person" and self.happens(0.6):
            return self.person_object()
        return self.some(self.pick(nouns_of(*verb.classes)), described=described)

    def journey(self, subject: NounPhrase | None = None) -> Clause:
        """Someone goes somewhere; flights go to cities, travels too."""
        verb = self.pick(verbs_of("motion"))
        far = verb.english in ("fly", "travel")
        goal = self.city("to", "direction") if far else self.destination(by_car=verb.english == "drive")
        if goal.is_city and verb.english in ("go", "walk"):
            goal = HOME  # one does not walk to Berlin
        clause = Clause(subject or self.someone(), verb, (goal,))
        if far or goal == HOME or not self.happens(0.25):
            return clause
        several = clause.subject.person in ("1p", "3p")
        return clause.having(self.listed("manner of several" if several else "manner of one", "manner"))

    def state(self, subject: NounPhrase | None = None) -> Clause:
        mood = self.listed("mood", "predicate")
        return being(subject or self.someone(), mood)

    def activity(self, subject: NounPhrase | None = None) -> Clause:
        """Someone works, sleeps, ...; perhaps somewhere."""
        verb = self.pick(verbs_of("intransitive"))
        clause = Clause(subject or self.someone(), verb)
        if not verb.locations or self.happens(0.35):
            return clause
        return clause.having(self.city("in", "location") if self.happens(0.2) else self.location(*verb.locations))

    def anything(self, subject: NounPhrase | None = None) -> Clause:
        """A clause of any kind about a person."""
        if self.happens(0.6):
            groups = ("transitive",) * 3 + ("separable", "ditransitive", "dative", "prepositional")
            return self.action(subject, among=verbs_of(self.pick(groups)))
        return self.pick((self.journey, self.activity))(subject)

    def in_present(self, clause: Clause, *, timed: float = 0.5) -> Clause:
        if clause.verb.is_any("no_past") or not self.happens(timed):
            return clause
        if clause.negation != "kein" and self.happens(0.3):
            return clause.having(self.listed("frequency", "frequency"))
        return clause.having(self.present_time())

    def in_past(self, clause: Clause, *, timed: float = 0.6) -> Clause:
        if clause.verb.is_any("no_past"):
            return clause
        # "I read" and "I put" are past only with a time
        tells = clause.verb.is_any("ambiguous_past") or self.happens(timed)
        return clause.in_past().having(*[self.past_time()] if tells else [])

    def perhaps_past(self, clause: Clause, probability: float, *, timed: float = 0.6) -> Clause:
        return self.in_past(clause, timed=timed) if self.happens(probability) else clause

    def in_future(self, clause: Clause) -> Clause:
        if clause.verb.is_any("no_past"):
            return clause
        return clause.in_tense("future").having(self.future_time())

    def in_any_tense(self, clause: Clause) -> Clause:
        """Mostly the present and the past; a time, where there is one, is the last part."""
        change = self.pick((self.in_present,) * 2 + (self.in_past,) * 2 + (self.in_future, Clause.in_progress))
        return change(clause)

    def time_first(self, clause: Clause, probability: float = 0.3) -> Bilingual:
        """The clause, with the given probability with its time in front."""
        return clause.time_first() if clause.time and self.happens(probability) else clause
