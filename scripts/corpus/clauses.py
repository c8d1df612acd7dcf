"""A clause, built once and said in both languages: main, fronted, verb-final, as question or infinitive."""

from dataclasses import dataclass, replace

from corpus import english, german
from corpus.phrases import NounPhrase, Part
from corpus.text import Pair, both
from corpus.words import Verb

ENGLISH_ORDER = (
    "dative", "accusative", "manner", "predicate", "prepositional", "direction", "place", "means", "time",
)  # fmt: skip
GERMAN_ORDER = (
    "pronoun", "frequency", "time", "dative", "accusative", "not", "manner", "means", "place", "predicate",
    "prepositional", "direction",
)  # fmt: skip

# english: (German present, German past, whether English takes do-support)
MODALS = {
    "can": ("können", "konnte"),
    "must": ("müssen", "musste"),
    "have to": ("müssen", "musste"),
    "want to": ("wollen", "wollte"),
    "may": ("dürfen", "durfte"),
    "be allowed to": ("dürfen", "durfte"),
    "should": ("sollten", "sollten"),
    "would like to": ("möchten", "wollte"),
    "would": ("würde", "würde"),
}
PAST_MODALS = {"can": "could", "have to": "had to", "want to": "wanted to"}
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

    @property
    def english(self) -> str:
        return english_words(self)

    @property
    def german(self) -> str:
        return german_main(self)

    def by(self, subject: NounPhrase) -> "Clause":
        return replace(self, subject=subject)

    def having(self, *parts: Part) -> "Clause":
        return replace(self, parts=(*self.parts, *parts))

    def without(self, *slots: str) -> "Clause":
        return replace(self, parts=tuple(part for part in self.parts if part.slot not in slots))

    def in_tense(self, tense: str) -> "Clause":
        return replace(self, tense=tense)

    def in_past(self) -> "Clause":
        return self.in_tense("past")

    def with_modal(self, modal: str) -> "Clause":
        return replace(self, modal=modal)

    def negated(self) -> "Clause":
        return replace(self, negation="nicht")

    def fronted(self, part: Part) -> Pair:
        """One constituent first: in English before the subject, in German before the verb."""
        rest = replace(self, parts=tuple(other for other in self.parts if other != part))
        comma = "," if " " in part.english and part.slot != "frequency" else ""
        return Pair(english_words(rest, front=part.english + comma), german_main(rest, front=part.german))

    def after(self, clause: Pair) -> Pair:
        """Main clause after a subordinate one, which stands first in German: "wenn es regnet, liest er"."""
        return Pair(f"{clause.english}, {self.english}", german_main(self, front=f"{clause.german},"))

    def final(self, conjunction: str = "{} | {}") -> Pair:
        """Subordinate clause, the German verb last, in a template: final("because {} | weil {}")."""
        return both(conjunction, Pair(self.english, german_final(self)))

    def question(self, word: Pair = NO_WORD) -> Pair:
        """Question, after a question word if there is one."""
        asked = english_words(self, inverted=True)
        return Pair(f"{word.english} {asked}".strip(), german_question(self, word.german))

    def infinitive(self) -> Pair:
        """The clause without its subject: "to read the book", "das Buch zu lesen"."""
        text = f"to {self.verb.english} {english_rest(self)}".strip()
        return Pair(text, " ".join([*middle_field(self), german.infinitive_with_zu(self.verb)]))


# English


def auxiliary_and_rest(clause: Clause, *, inverted: bool) -> tuple[str, str]:
    """Return the auxiliary (or ""), which "not" follows and which comes first in questions, and the rest of the verb."""
    verb, person = clause.verb, clause.subject.person
    third, base = person == "3s", verb.english
    if clause.modal:
        return modal_group(clause, inverted=inverted)
    if clause.tense in ("passive", "past passive"):
        return english.be(person, past=clause.tense == "past passive"), english.past_participle(verb)
    if clause.tense == "future":
        return "will", base
    if clause.tense == "perfect":
        return "has" if third else "have", english.past_participle(verb)
    if base == "be":
        return english.be(person, past=clause.tense == "past"), ""
    if clause.tense == "progressive":
        return english.be(person), english.progressive(verb)
    if clause.negation or inverted:
        return "did" if clause.tense == "past" else "does" if third else "do", base
    if clause.tense == "past":
        return "", english.past(verb)
    return "", english.third_person(base) if third else base


def modal_group(clause: Clause, *, inverted: bool) -> tuple[str, str]:
    base, modal, third = clause.verb.english, clause.modal, clause.subject.person == "3s"
    past = clause.tense == "past"
    if modal == "be allowed to":
        return english.be(clause.subject.person, past=past), f"allowed to {base}"
    if modal in ("want to", "have to"):
        if clause.negation or inverted:
            return "did" if past else "does" if third else "do", f"{modal} {base}"
        if past:
            return "", f"{PAST_MODALS[modal]} {base}"
        head, _, to = modal.partition(" ")
        return "", f"{english.third_person(head) if third else head} {to} {base}"
    if modal == "would like to":
        return "would", f"like to {base}"
    return PAST_MODALS[modal] if past else modal, base


def english_words(clause: Clause, *, inverted: bool = False, front: str = "") -> str:
    auxiliary, rest = auxiliary_and_rest(clause, inverted=inverted)
    negation = "not" if clause.negation else ""
    frequency = " ".join(part.english for part in clause.parts if part.slot == "frequency")
    subject = clause.subject.english
    opening = [auxiliary, subject] if inverted else [subject, auxiliary]
    words = [front, *opening, negation, frequency, rest, english_rest(clause)]
    return " ".join(word for word in words if word).replace("can not ", "cannot ")


def english_rest(clause: Clause) -> str:
    """What follows the English verb: particle, objects, then place and time."""
    verb = clause.verb
    pronouns = [part.english for part in clause.parts if part.slot == "pronoun"]
    ordered = [part.english for slot in ENGLISH_ORDER for part in clause.parts if part.slot == slot]
    words = [verb.tail, *pronouns, verb.particle, *ordered]
    return " ".join(word for word in words if word)


# German


def german_verb(clause: Clause) -> tuple[str, str]:
    """The finite verb and what closes the clause: a prefix, a participle or an infinitive."""
    verb, person = clause.verb, clause.subject.person
    if clause.modal:
        present, past = MODALS[clause.modal]
        return german.conjugate(past if clause.tense == "past" else present, person), verb.prefix + verb.infinitive
    if clause.tense in ("passive", "past passive"):
        return german.conjugate("werden" if clause.tense == "passive" else "wurde", person), verb.participle
    if clause.tense in ("past", "perfect"):
        simple = {"sein": "war", "haben": "hatte"}.get(verb.infinitive)
        if simple:
            return german.conjugate(simple, person), ""
        return german.conjugate(verb.auxiliary, person), verb.participle
    return german.present(verb, person), verb.prefix


def middle_field(clause: Clause) -> list[str]:
    parts = list(clause.parts)
    if clause.verb.reflexive:
        parts.insert(0, Part("", reflexive(clause), "pronoun"))
    if clause.tense == "progressive":
        parts.append(Part("", "gerade", "time"))
    if clause.negation == "nicht":
        parts.append(Part("", "nicht", "not"))
    return [part.german for slot in GERMAN_ORDER for part in parts if part.slot == slot]


def reflexive(clause: Clause) -> str:
    return german.REFLEXIVE.get(clause.subject.person, "sich")


def subject_and_middle(clause: Clause) -> list[str]:
    """What follows the finite verb or conjunction; a reflexive stands before a subject that is no pronoun."""
    subject = clause.subject.case("nominative")
    if clause.verb.reflexive and not clause.subject.is_pronoun:
        plain = replace(clause, verb=replace(clause.verb, reflexive=False))
        return [reflexive(clause), subject, *middle_field(plain)]
    return [subject, *middle_field(clause)]


def german_main(clause: Clause, front: str = "") -> str:
    """Verb second: after the subject, or after whatever stands in front."""
    finite, end = german_verb(clause)
    subject = clause.subject.case("nominative")
    words = [front, finite, *subject_and_middle(clause)] if front else [subject, finite, *middle_field(clause)]
    return " ".join(word for word in (*words, end) if word)


def german_question(clause: Clause, question_word: str = "") -> str:
    finite, end = german_verb(clause)
    words = [question_word, finite, *subject_and_middle(clause), end]
    return " ".join(word for word in words if word)


def german_final(clause: Clause) -> str:
    """Verb last, as after a conjunction; a separable prefix rejoins its verb."""
    finite, end = german_verb(clause)
    is_prefix = bool(clause.verb.prefix) and end == clause.verb.prefix
    closing = end + finite if is_prefix else f"{end} {finite}".strip()
    return " ".join([*subject_and_middle(clause), closing])
