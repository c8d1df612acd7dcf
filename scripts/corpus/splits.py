"""Draws sentences of every phenomenon and shares them out to train, valid and test."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from corpus.chance import Chance
from corpus.composites import COMPOSITES
from corpus.held_out import holds_held_out, shows_held_out
from corpus.numbers import english_number, german_number, ordinal
from corpus.phenomena import PHENOMENA as SINGLE
from corpus.tables import read_rows
from corpus.text import Pair

Draw = Callable[[Chance], Pair]

SEED = 20240601
TRAIN_LINES = 23_000
VALID_LINES = 512
LONGEST_SENTENCE = 18  # words of English, in train and valid
LONGEST_LINE = 28  # of two or three sentences
LONGER = (23, 28)  # words of a single sentence in the `longer` part of the test, both included
SEEN_PER_PHENOMENON = 18
UNSEEN_PER_PHENOMENON = 10
LONGER_PER_COMPOSITE = 20
SHORT_COMPOSITES = 0.35  # of a phenomenon's lines, where there are composites
ATTESTED = 10  # times that every word of the test stands in train, figures aside
# Numbers have more values than other phenomena have shapes; durations have few of either.
SHARES = {phenomenon: float(share) for phenomenon, share in read_rows("phenomena")}


def sentence_pair(chance: Chance) -> Pair:
    """It is cold. Bring me tea! -> Es ist kalt. Bring mir Tee!

    Two or three sentences of other phenomena, so that training fills more positions than one has.
    """
    singles = [PHENOMENA[phenomenon] for phenomenon in SHARES if phenomenon in SINGLE]
    count = 3 if chance.happens(0.6) else 2
    pairs = [chance.pick(singles)(chance) for _ in range(count)]
    return Pair(" ".join(pair.english for pair in pairs), " ".join(pair.german for pair in pairs))


PHENOMENA: dict[str, Draw] = {name: (SINGLE | {"sentence_pair": sentence_pair})[name] for name in SHARES}


@dataclass(frozen=True)
class Labelled:
    pair: Pair
    phenomenon: str
    split: str


@dataclass
class Corpus:
    train: list[Pair] = field(default_factory=list)
    valid: list[Pair] = field(default_factory=list)
    test: list[Labelled] = field(default_factory=list)


class Drawer:
    """Draws pairs that repeat no line or sentence, and refuses an English line with a second translation."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.german_of: dict[str, str] = {}
        self.used: set[str] = set()

    def draw(self, function: Draw, accept: Callable[[Pair], bool]) -> Pair:
        for _ in range(20_000):
            pair = function(self.chance)
            known = self.german_of.setdefault(pair.english, pair.german)
            if known != pair.german:
                raise ValueError(f"two translations of {pair.english!r}: {known!r} and {pair.german!r}")
            if pair.english in self.used or pair.german in self.used or not accept(pair):
                continue
            self.used |= {pair.english, pair.german, *sentences_of(pair.english), *sentences_of(pair.german)}
            return pair
        raise ValueError(f"found no new line for {function.__name__} in 20,000 draws")


def sentences_of(line: str) -> list[str]:
    """The sentences of a line: "Where is the key? It is here." has two, "Mr. Weber, come!" one."""
    return re.split(r"(?<=[.?!])(?<!Mr\.)(?<!Mrs\.)(?<!\d\.) ", line)


def length(line: str) -> int:
    return len(line.split())


def is_trainable(pair: Pair) -> bool:
    if length(pair.english) > LONGEST_LINE or holds_held_out(pair.english):
        return False
    return all(length(sentence) <= LONGEST_SENTENCE for sentence in sentences_of(pair.english))


def is_unseen(pair: Pair) -> bool:
    return length(pair.english) <= LONGEST_SENTENCE and shows_held_out(pair.english)


def is_longer(pair: Pair) -> bool:
    return LONGER[0] <= length(pair.english) <= LONGER[1] and not holds_held_out(pair.english)


def seen_function(chance: Chance, phenomenon: str) -> Draw:
    composite = COMPOSITES.get(phenomenon)
    return composite if composite and chance.happens(SHORT_COMPOSITES) else PHENOMENA[phenomenon]


def make_corpus() -> Corpus:
    """The whole corpus, the same on every machine and Python version."""
    chance = Chance(SEED)
    drawer, corpus = Drawer(chance), Corpus()
    corpus.train = draw_seen(drawer, TRAIN_LINES)
    corpus.valid = draw_seen(drawer, VALID_LINES)
    attested = attested_words(corpus.train)
    corpus.test = chance.shuffled(draw_test(drawer, attested))
    return corpus


def draw_seen(drawer: Drawer, lines: int) -> list[Pair]:
    """About that many lines, shared out over the phenomena, in random order."""
    total = sum(SHARES.values())
    pairs = [
        drawer.draw(seen_function(drawer.chance, phenomenon), is_trainable)
        for phenomenon, share in SHARES.items()
        for _ in range(round(lines * share / total))
    ]
    return drawer.chance.shuffled(pairs)


def draw_test(drawer: Drawer, attested: set[str]) -> list[Labelled]:
    """For every phenomenon lines like those of train and lines that it holds out; then the longer lines."""

    def draw(function: Draw, phenomenon: str, split: str) -> Labelled:
        accept = {"seen_pattern": is_trainable, "unseen_combination": is_unseen, "longer": is_longer}[split]
        return Labelled(drawer.draw(function, lambda pair: accept(pair) and words(pair) <= attested), phenomenon, split)

    test = []
    for phenomenon, function in PHENOMENA.items():
        for _ in range(SEEN_PER_PHENOMENON):
            test.append(draw(seen_function(drawer.chance, phenomenon), phenomenon, "seen_pattern"))
        for _ in range(UNSEEN_PER_PHENOMENON):
            test.append(draw(function, phenomenon, "unseen_combination"))
    for phenomenon, composite in COMPOSITES.items():
        test.extend(draw(composite, phenomenon, "longer") for _ in range(LONGER_PER_COMPOSITE))
    return test


FIGURES = {say(n) for say in (english_number, german_number) for n in range(21, 1000)}
FIGURES |= {word for day in range(1, 32) for word in (ordinal(day).english, ordinal(day).german + "n")}


def words(pair: Pair) -> set[str]:
    """The words of both sides, but for figures, which are put together from parts."""
    bare = [word.strip(".,!?") for word in f"{pair.english} {pair.german}".split()]
    return {word for word in bare if not any(sign.isdigit() for sign in word) and word.lower() not in FIGURES}


def attested_words(train: list[Pair]) -> set[str]:
    counts = Counter(word for pair in train for word in sorted(words(pair)))
    return {word for word, count in counts.items() if count >= ATTESTED}
