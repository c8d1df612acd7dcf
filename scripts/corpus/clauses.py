"""A clause, built once and said in both languages: main, fronted, verb-final, as question or infinitive."""

from dataclasses import dataclass, replace

from corpus import english, german
from corpus.phrases import NounPhrase, Part
from corpus.verbs import Verb

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


@dataclass(frozen=True)
class Clause:
    """`tense` is one of present, progressive, past, perfect, future, passive, past passive."""

    subject: NounPhrase
    verb: Verb
    parts: tuple[Part, ...] = ()
    tense: str = "present"
    modal: str = ""
    negated: bool = False  # with nicht; a noun phrase with "kein" negates by no_object instead
    no_object: bool = False

    def with_part(self, part: Part) -> "Clause":
        return replace(self, parts=(*self.parts, part))

    def without_part(self, part: Part) -> "Clause":
        return replace(self, parts=tuple(other for other in self.parts if other != part))


@dataclass(frozen=True)
class Pair:
    english: str
    german: str


# English


def auxiliary_and_rest(clause: Clause, *, inverted: bool) -> tuple[str, str]:
    """The word before "not" and before which a question inverts, if there is one, and what follows it."""
    verb, person = clause.verb, clause.subject.person
    negated = clause.negated or clause.no_object
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
    if negated or inverted:
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
        if clause.negated or clause.no_object or inverted:
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
    negation = "not" if clause.negated or clause.no_object else ""
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
        return conjugate(past if clause.tense == "past" else present, person), verb.prefix + verb.infinitive
    if clause.tense in ("passive", "past passive"):
        return conjugate("werden" if clause.tense == "passive" else "wurde", person), verb.participle
    if clause.tense in ("past", "perfect"):
        simple = {"sein": "war", "haben": "hatte"}.get(verb.infinitive)
        if simple:
            return conjugate(simple, person), ""
        return conjugate(verb.auxiliary, person), verb.participle
    return german.present(verb, person), verb.prefix


def conjugate(name: str, person: str) -> str:
    return german.IRREGULAR[name][german.PERSONS.index(person)]


def middle_field(clause: Clause) -> list[str]:
    parts = list(clause.parts)
    if clause.verb.reflexive:
        parts.insert(0, Part("", reflexive(clause), "pronoun"))
    if clause.tense == "progressive":
        parts.append(Part("", "gerade", "time"))
    if clause.negated:
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


def german_infinitive(clause: Clause) -> str:
    """The clause without its subject, closed by the infinitive with zu."""
    return " ".join([*middle_field(clause), german.infinitive_with_zu(clause.verb)])


def english_infinitive(clause: Clause) -> str:
    rest = english_rest(clause)
    return f"to {clause.verb.english} {rest}".strip()


# Whole sentences


def finish(english_text: str, german_text: str, mark: str = ".") -> Pair:
    """Both sides with a capital letter and a closing mark."""
    return Pair(capitalised(english_text) + mark, capitalised(german_text) + mark)


def say(pair: Pair, mark: str = ".") -> Pair:
    return finish(pair.english, pair.german, mark)


def capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def statement(clause: Clause) -> Pair:
    return Pair(english_words(clause), german_main(clause))


def fronted(clause: Clause, part: Part) -> Pair:
    """One constituent first: in English before the subject, in German before the verb."""
    rest = clause.without_part(part)
    comma = "," if " " in part.english and part.slot != "frequency" else ""
    return Pair(english_words(rest, front=part.english + comma), german_main(rest, front=part.german))


def question(clause: Clause) -> Pair:
    return Pair(english_words(clause, inverted=True), german_question(clause))


def subordinate(conjunction: tuple[str, str], clause: Clause) -> Pair:
    """For example (("because", "weil"), clause): German with the verb last."""
    return Pair(f"{conjunction[0]} {english_words(clause)}", f"{conjunction[1]} {german_final(clause)}")
