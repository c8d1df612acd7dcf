"""German inflection: articles, adjective endings, pronouns, contractions and verb forms."""

from corpus.nouns import Noun
from corpus.verbs import Verb

CASES = ("nominative", "accusative", "dative", "genitive")
Forms = tuple[str, str, str, str]  # one per case, in the order of CASES

DEFINITE = {
    "masculine": ("der", "den", "dem", "des"),
    "feminine": ("die", "die", "der", "der"),
    "neuter": ("das", "das", "dem", "des"),
    "plural": ("die", "die", "den", "der"),
}
RELATIVE = DEFINITE | {"plural": ("die", "die", "denen", "deren")}
LIKE_EIN = {  # ein, kein, mein, dein, sein, ihr, unser, Ihr
    "masculine": ("", "en", "em", "es"),
    "feminine": ("e", "e", "er", "er"),
    "neuter": ("", "", "em", "es"),
    "plural": ("e", "e", "en", "er"),
}
LIKE_DIESER = {  # dieser, jeder, and every adjective without an article before it
    "masculine": ("er", "en", "em", "es"),
    "feminine": ("e", "e", "er", "er"),
    "neuter": ("es", "es", "em", "es"),
    "plural": ("e", "e", "en", "er"),
}
WEAK = {  # adjectives after der, dieser, jeder, alle
    "masculine": ("e", "en", "en", "en"),
    "feminine": ("e", "e", "en", "en"),
    "neuter": ("e", "e", "en", "en"),
    "plural": ("en", "en", "en", "en"),
}
MIXED = {  # adjectives after ein, kein, mein
    "masculine": ("er", "en", "en", "en"),
    "feminine": ("e", "e", "en", "en"),
    "neuter": ("es", "es", "en", "en"),
    "plural": ("en", "en", "en", "en"),
}
STRONG = LIKE_DIESER | {
    "masculine": ("er", "en", "em", "en"),
    "neuter": ("es", "es", "em", "en"),
}

# English determiner -> German stem, its endings, and those of an adjective after it
DETERMINERS = {
    "the": ("", DEFINITE, WEAK),
    "this": ("dies", LIKE_DIESER, WEAK),
    "which": ("welch", LIKE_DIESER, WEAK),
    "every": ("jed", LIKE_DIESER, WEAK),
    "all the": ("all", LIKE_DIESER, WEAK),
    "a": ("ein", LIKE_EIN, MIXED),
    "no": ("kein", LIKE_EIN, MIXED),
    "my": ("mein", LIKE_EIN, MIXED),
    "your": ("dein", LIKE_EIN, MIXED),
    "your (formal)": ("Ihr", LIKE_EIN, MIXED),
    "his": ("sein", LIKE_EIN, MIXED),
    "her": ("ihr", LIKE_EIN, MIXED),
    "our": ("unser", LIKE_EIN, MIXED),
    "their": ("ihr", LIKE_EIN, MIXED),
    "many": ("viel", LIKE_DIESER, STRONG),
}

CONTRACTIONS = {
    "in dem": "im",
    "in das": "ins",
    "an dem": "am",
    "an das": "ans",
    "von dem": "vom",
    "bei dem": "beim",
    "zu dem": "zum",
    "zu der": "zur",
}

PRONOUNS = {  # nominative, accusative, dative
    "I": ("ich", "mich", "mir"),
    "you": ("du", "dich", "dir"),
    "you (formal)": ("Sie", "Sie", "Ihnen"),
    "he": ("er", "ihn", "ihm"),
    "she": ("sie", "sie", "ihr"),
    "it": ("es", "es", "ihm"),
    "we": ("wir", "uns", "uns"),
    "they": ("sie", "sie", "ihnen"),
}
IT = {"masculine": "he", "feminine": "she", "neuter": "it", "plural": "they"}
REFLEXIVE = {"1s": "mich", "2s": "dich", "1p": "uns"}

# ich, du, er, wir, sie, Sie; in the order of PERSONS
PERSONS = ("1s", "2s", "3s", "1p", "3p", "formal")
IRREGULAR = {
    "sein": ("bin", "bist", "ist", "sind", "sind", "sind"),
    "haben": ("habe", "hast", "hat", "haben", "haben", "haben"),
    "wissen": ("weiß", "weißt", "weiß", "wissen", "wissen", "wissen"),
    "mögen": ("mag", "magst", "mag", "mögen", "mögen", "mögen"),
    "werden": ("werde", "wirst", "wird", "werden", "werden", "werden"),
    "können": ("kann", "kannst", "kann", "können", "können", "können"),
    "müssen": ("muss", "musst", "muss", "müssen", "müssen", "müssen"),
    "wollen": ("will", "willst", "will", "wollen", "wollen", "wollen"),
    "dürfen": ("darf", "darfst", "darf", "dürfen", "dürfen", "dürfen"),
    "sollten": ("sollte", "solltest", "sollte", "sollten", "sollten", "sollten"),
    "möchten": ("möchte", "möchtest", "möchte", "möchten", "möchten", "möchten"),
    "war": ("war", "warst", "war", "waren", "waren", "waren"),
    "hatte": ("hatte", "hattest", "hatte", "hatten", "hatten", "hatten"),
    "wurde": ("wurde", "wurdest", "wurde", "wurden", "wurden", "wurden"),
    "würde": ("würde", "würdest", "würde", "würden", "würden", "würden"),
    "hätte": ("hätte", "hättest", "hätte", "hätten", "hätten", "hätten"),
    "wäre": ("wäre", "wärst", "wäre", "wären", "wären", "wären"),
    "konnte": ("konnte", "konntest", "konnte", "konnten", "konnten", "konnten"),
    "musste": ("musste", "musstest", "musste", "mussten", "mussten", "mussten"),
    "wollte": ("wollte", "wolltest", "wollte", "wollten", "wollten", "wollten"),
    "durfte": ("durfte", "durftest", "durfte", "durften", "durften", "durften"),
}


def inflect_noun(noun: Noun, *, plural: bool) -> Forms:
    """The four cases of a noun; the dative plural takes -n unless it ends in -n or -s."""
    if not plural:
        return noun.german, noun.oblique, noun.oblique, noun.genitive
    form = noun.german_plural
    return form, form, form if form[-1] in "ns" else form + "n", form


def adjective_stem(adjective: str) -> str:
    """The form that endings attach to: teuer -> teur-, dunkel -> dunkl-, müde -> müd-."""
    if adjective.endswith("el"):
        return adjective[:-2] + "l"
    return {"teuer": "teur"}.get(adjective, adjective.removesuffix("e"))


def inflect_phrase(noun: Noun, determiner: str, adjectives: tuple[str, ...] = (), *, plural: bool = False) -> Forms:
    """The four cases of determiner, adjectives and noun.

    The determiner is an English key of DETERMINERS; anything else ("" or "drei") stands uninflected before
    strong endings.
    """
    gender = "plural" if plural else noun.gender
    stem, endings, adjective_endings = DETERMINERS.get(determiner, (determiner, {gender: ("",) * 4}, STRONG))
    nouns = inflect_noun(noun, plural=plural)
    phrases = []
    for case in range(4):
        described = [adjective_stem(adjective) + adjective_endings[gender][case] for adjective in adjectives]
        phrases.append(" ".join([stem + endings[gender][case], *described, nouns[case]]).strip())
    return phrases[0], phrases[1], phrases[2], phrases[3]


def prepositional(preposition: str, phrase: str) -> str:
    """Preposition and phrase, contracted where German does: in + dem Park -> im Park."""
    joined = f"{preposition} {phrase}"
    for long, short in CONTRACTIONS.items():
        if joined.startswith(long + " "):
            return short + joined.removeprefix(long)
    return joined


def needs_e(stem: str) -> bool:
    """True if an -e- eases the ending: du arbeit-e-st, er öffn-e-t, but du wohn-st."""
    return stem[-1] in "td" or stem.endswith(("ffn", "chn", "gn"))


def present(verb: Verb, person: str) -> str:
    """The finite form, without its prefix."""
    if verb.infinitive in IRREGULAR:
        return IRREGULAR[verb.infinitive][PERSONS.index(person)]
    stem = verb.infinitive.removesuffix("n").removesuffix("e")
    if person == "1s":
        return stem + "e"
    if person == "2s":
        ending = "est" if needs_e(stem) else "t" if stem[-1] in "sßzx" else "st"
        return verb.second or stem + ending
    if person == "3s":
        return verb.third or stem + ("et" if needs_e(stem) else "t")
    return verb.infinitive


def infinitive_with_zu(verb: Verb) -> str:
    return f"{verb.prefix}zu{verb.infinitive}" if verb.prefix else f"zu {verb.infinitive}"
