"""A clause, built once and said in both languages: main, fronted, verb-final, as question or infinitive."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from corpus.german import IRREGULAR, conjugate
from corpus.phrases import NounPhrase, Part
from corpus.text import Bilingual, Pair, both, read_rows, spaced
from corpus.words import BE, Verb

# Slots of the parts after the English verb and in the German middle field
ENGLISH_ORDER, GERMAN_ORDER = zip(*read_rows("word_order"), strict=True)
# English modal -> its base, third person and past, what links it to the verb; German present and past
MODALS = {name: forms for name, *forms in read_rows("modals")}
DEFINITE = {"the", "this", "these", "my", "your", "his", "her", "our", "their", "all", "me", "him", "us", "them", "it"}
BE_FORMS = {"1s": ("am", "was"), "3s": ("is", "was")}
SIMPLE_PAST = {"sein": "war", "haben": "hatte"}
NO_WORD = Pair("", "")


@dataclass(frozen=True)
class Clause:
    """A clause as subject, verb and parts; `english` and `german` are the main clause, the verb second in German.

    `tense` is one of present, progressive, past, perfect, future, passive, past passive. `negation` is "nicht", or
    "kein" where the German object says it.
    """

    subject: NounPhrase
    verb: Verb
    parts: tuple[Part, ...] = ()
    tense: str = "present"
    modal: str = ""
    negation: str = ""

    def having(self, *parts: Part) -> "Clause":
        return replace(self, parts=(*self.parts, *parts))

    def without(self, unwanted: Callable[[Part], bool]) -> "Clause":
        return replace(self, parts=tuple(part for part in self.parts if not unwanted(part)))

    def in_tense(self, tense: str) -> "Clause":
        return replace(self, tense=tense)

    def in_past(self) -> "Clause":
        return self.in_tense("past")

    def in_progress(self) -> "Clause":
        return self if self.verb.is_any("state", "sudden") else self.in_tense("progressive")

    def with_modal(self, modal: str) -> "Clause":
        return replace(self, modal=modal)

    def negated(self) -> "Clause":
        return replace(self, negation="nicht")

    @property
    def time(self) -> Part | None:
        return next((part for part in self.parts if part.slot == "time"), None)

    def count(self, slot: str) -> int:
        return sum(part.slot == slot for part in self.parts)

    def is_definite(self) -> bool:
        """Return True if every object is definite, so that German negates it with nicht and not with kein."""
        objects = [part.english for part in self.parts if part.slot in ("accusative", "dative", "prepositional")]
        return all(text.split()[0] in DEFINITE or text.istitle() for text in objects)

    @property
    def english(self) -> str:
        return self.english_words()

    @property
    def german(self) -> str:
        return self.german_main()

    def fronted(self, part: Part) -> Pair:
        """One constituent first: in English before the subject, in German before the verb."""
        rest = self.without(lambda other: other == part)
        # English sets off an opening of several words: "next week, we ...", but "tomorrow we ..."
        comma = "," if " " in part.english and part.slot != "frequency" else ""
        return Pair(rest.english_words(front=part.english + comma), rest.german_main(front=part.german))

    def time_first(self) -> Bilingual:
        return self.fronted(self.time) if self.time else self

    def after(self, clause: Pair) -> Pair:
        """Main clause after a subordinate one, which stands first in German: "wenn es regnet, liest er"."""
        return Pair(f"{clause.english}, {self.english}", self.german_main(front=f"{clause.german},"))

    def final(self, template: str = "{} | {}") -> Pair:
        """Subordinate clause, the German verb last, in a template: final("because {} | weil {}")."""
        finite, end = self.german_verb()
        # A separable prefix rejoins its verb
        closing = end + finite if end and end == self.verb.prefix else spaced(end, finite)
        return both(template, Pair(self.english, spaced(*self.subject_and_middle(), closing)))

    def question(self, word: Pair = NO_WORD) -> Pair:
        finite, end = self.german_verb()
        asked = spaced(word.german, finite, *self.subject_and_middle(), end)
        return Pair(spaced(word.english, self.english_words(inverted=True)) + "?", asked + "?")

    def infinitive(self) -> Pair:
        """The clause without its subject: "to read the book", "das Buch zu lesen"."""
        verb = self.verb
        closing = f"{verb.prefix}zu{verb.infinitive}" if verb.prefix else f"zu {verb.infinitive}"
        return Pair(spaced("to", verb.english, self.english_rest()), spaced(*self.middle_field(), closing))

    def english_words(self, *, inverted: bool = False, front: str = "") -> str:
        auxiliary, rest = self.auxiliary_and_rest(inverted=inverted)
        negation = "not" if self.negation else ""
        frequency = spaced(*(part.english for part in self.parts if part.slot == "frequency"))
        opening = [auxiliary, self.subject.english] if inverted else [self.subject.english, auxiliary]
        words = spaced(front, *opening, negation, frequency, rest, self.english_rest())
        return words.replace("can not ", "cannot ")

    def auxiliary_and_rest(self, *, inverted: bool) -> tuple[str, str]:
        """Return the auxiliary (or ""), which "not" follows and which comes first in questions, and the verb's rest."""
        verb, tense, third_person = self.verb, self.tense, self.subject.person == "3s"
        be = BE_FORMS.get(self.subject.person, ("are", "were"))["past" in tense]
        base, third, past, tail = verb.english, verb.third_person, verb.past, ""
        if self.modal:
            base, third, past, link, _, _ = MODALS[self.modal]
            tail = spaced(link, verb.english)
            if link != "to":  # "want to" and "have to" take do-support like full verbs
                return be if base == "be" else past if tense == "past" else base, tail
        elif "passive" in tense:
            return be, verb.past_participle
        elif tense == "future":
            return "will", base
        elif tense == "perfect":
            return "has" if third_person else "have", verb.past_participle
        elif base == "be" or tense == "progressive":
            return be, "" if base == "be" else verb.progressive
        if self.negation or inverted:  # do-support
            return "did" if tense == "past" else "does" if third_person else "do", spaced(base, tail)
        return "", spaced(past if tense == "past" else third if third_person else base, tail)

    def english_rest(self) -> str:
        """Particle, objects, place and time, which follow the English verb."""
        parts = (*self.parts, Part(self.verb.particle, "", "particle"))
        ordered = [part.english for slot in ENGLISH_ORDER for part in parts if part.slot == slot]
        return spaced(self.verb.tail, *ordered)

    def german_main(self, front: str = "") -> str:
        """Verb second: after the subject, or after whatever stands in front."""
        finite, end = self.german_verb()
        if front:
            return spaced(front, finite, *self.subject_and_middle(), end)
        return spaced(self.subject.german, finite, *self.middle_field(), end)

    def german_verb(self) -> tuple[str, str]:
        """Return the finite verb, and the prefix, participle or infinitive that closes the clause."""
        verb, forms, end = self.verb, self.verb.present, self.verb.prefix
        if self.modal:
            *_, present, past = MODALS[self.modal]
            forms, end = IRREGULAR[past if self.tense == "past" else present], verb.prefix + verb.infinitive
        elif "passive" in self.tense:
            forms, end = IRREGULAR["werden" if self.tense == "passive" else "wurde"], verb.participle
        elif verb.infinitive in SIMPLE_PAST and self.tense in ("past", "perfect"):
            forms, end = IRREGULAR[SIMPLE_PAST[verb.infinitive]], ""  # other verbs take the perfect
        elif self.tense in ("past", "perfect"):
            forms, end = IRREGULAR[verb.auxiliary], verb.participle
        return conjugate(forms, self.subject.person), end

    def middle_field(self) -> list[str]:
        """Everything between the finite verb and the end, but for the subject."""
        gerade = [Part("", "gerade", "time")] if self.tense == "progressive" else []
        nicht = [Part("", "nicht", "not")] if self.negation == "nicht" else []
        parts = (*self.parts, *gerade, *nicht)
        return self.reflexive() + [part.german for slot in GERMAN_ORDER for part in parts if part.slot == slot]

    def reflexive(self) -> list[str]:
        own = {"1s": "mich", "2s": "dich", "1p": "uns"}.get(self.subject.person, "sich")
        return [own] if self.verb.reflexive else []

    def subject_and_middle(self) -> list[str]:
        """Everything after the finite verb or conjunction; a reflexive stands before a subject that is no pronoun."""
        subject, middle = [self.subject.german], self.middle_field()
        # "sie freut sich", but "heute freut sich die Frau"
        first = 0 if self.subject.is_pronoun else len(self.reflexive())
        return middle[:first] + subject + middle[first:]


def acting(subject: NounPhrase, verb: Verb, thing: NounPhrase) -> Clause:
    return Clause(subject, verb, (thing.as_object_of(verb),))


def being(subject: NounPhrase, predicate: Part) -> Clause:
    return Clause(subject, BE, (predicate,))
