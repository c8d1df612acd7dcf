"""Draws sentences of every phenomenon and shares them out to train, valid and test."""

import re
from collections import Counter
from collections.abc import Callable
from importlib import import_module

from corpus import composites
from corpus.draw import Draw
from corpus.held_out import holds_held_out, shows_held_out
from corpus.numbers import ORDINALS, in_words
from corpus.text import Bilingual, Pair, read_rows, sentence

Phenomenon = Callable[[Draw], Bilingual]
Accept = Callable[[Pair], bool]

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

SINGLE: dict[str, Phenomenon] = {
    name: getattr(import_module(f"corpus.phenomena.{module}"), name) for name, module, _ in read_rows("phenomena")
}
# Numbers have more values than other phenomena have shapes; durations have few of either
SHARES = {name: float(share) for name, _, share in read_rows("phenomena")} | {"sentence_pair": 2.0}


def sentence_pair(draw: Draw) -> Pair:
    """It is cold. Bring me tea! -> Es ist kalt. Bring mir Tee!"""
    # Two or three sentences, so that training fills more positions than one has
    count = 3 if draw.happens(0.6) else 2
    pairs = [sentence(draw.pick(list(SINGLE.values()))(draw)) for _ in range(count)]
    return Pair(" ".join(pair.english for pair in pairs), " ".join(pair.german for pair in pairs))


COMPOSITES: dict[str, Phenomenon] = {composite.__name__: composite for composite in composites.COMPOSITES}
PHENOMENA = SINGLE | {"sentence_pair": sentence_pair}


class NewLines:
    """Lines that repeat no earlier line or sentence."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.german_of: dict[str, str] = {}
        self.used: set[str] = set()
        self.attested: set[str] | None = None  # the only words of a line, once it is known

    def of(self, phenomenon: Phenomenon, accept: Accept) -> Pair:
        """A new line of the phenomenon; raises ValueError if the grammar gives an English line a second translation."""
        for _ in range(20_000):
            pair = sentence(phenomenon(self.draw))
            known = self.german_of.setdefault(pair.english, pair.german)
            if known != pair.german:
                raise ValueError(f"two translations of {pair.english!r}: {known!r} and {pair.german!r}")
            if self.used.isdisjoint(pair) and accept(pair) and (self.attested is None or words(pair) <= self.attested):
                # Sentences too, so that no line of the test is part of a longer line of train
                self.used |= {*pair, *sentences_of(pair.english), *sentences_of(pair.german)}
                return pair
        raise ValueError(f"found no new line for {phenomenon.__name__} in 20,000 draws")

    def seen(self, phenomenon: str, accept: Accept) -> Pair:
        """A line like those of train: a single clause or, sometimes, a composite."""
        is_composite = phenomenon in COMPOSITES and self.draw.happens(SHORT_COMPOSITES)
        return self.of((COMPOSITES if is_composite else PHENOMENA)[phenomenon], accept)

    def training(self, lines: int) -> list[Pair]:
        """About that many lines, shared out over the phenomena, in random order."""
        counts = {name: round(lines * SHARES[name] / sum(SHARES.values())) for name in PHENOMENA}
        pairs = [self.seen(name, is_trainable) for name, count in counts.items() for _ in range(count)]
        return self.draw.shuffled(pairs)

    def test(self) -> list[tuple[Pair, str]]:
        """Lines with their labels: for every phenomenon some like those of train and some held out; then the longer."""
        test = []
        for name, phenomenon in PHENOMENA.items():
            test += [(self.seen(name, is_trainable), f"{name}\tseen_pattern") for _ in range(SEEN_PER_PHENOMENON)]
            unseen = [self.of(phenomenon, is_unseen) for _ in range(UNSEEN_PER_PHENOMENON)]
            test += [(pair, f"{name}\tunseen_combination") for pair in unseen]
        for name, composite in COMPOSITES.items():
            test += [(self.of(composite, is_longer), f"{name}\tlonger") for _ in range(LONGER_PER_COMPOSITE)]
        return self.draw.shuffled(test)


def make_corpus() -> dict[str, bytes]:
    """Every file's name and bytes, the same on every machine and Python version."""
    lines = NewLines(Draw(SEED))
    train, valid = lines.training(TRAIN_LINES), lines.training(VALID_LINES)
    counts = Counter(word for pair in train for word in words(pair))
    lines.attested = {word for word, count in counts.items() if count >= ATTESTED}
    test = lines.test()
    files: dict[str, list[str]] = {"test.labels": [label for _, label in test]}
    for name, pairs in (("train", train), ("valid", valid), ("test", [pair for pair, _ in test])):
        files[f"{name}.en"] = [pair.english for pair in pairs]
        files[f"{name}.de"] = [pair.german for pair in pairs]
    return {name: "".join(f"{line}\n" for line in rows).encode() for name, rows in files.items()}


def sentences_of(line: str) -> list[str]:
    """The sentences of a line: "Where is the key? It is here." has two, "Mr. Weber, come!" one."""
    return re.split(r"(?<=[.?!])(?<!Mr\.)(?<!Mrs\.)(?<!\d\.) ", line)


def is_trainable(pair: Pair) -> bool:
    is_short = all(len(sentence.split()) <= LONGEST_SENTENCE for sentence in sentences_of(pair.english))
    return is_short and len(pair.english.split()) <= LONGEST_LINE and not holds_held_out(pair.english)


def is_unseen(pair: Pair) -> bool:
    return len(pair.english.split()) <= LONGEST_SENTENCE and shows_held_out(pair.english)


def is_longer(pair: Pair) -> bool:
    return LONGER[0] <= len(pair.english.split()) <= LONGER[1] and not holds_held_out(pair.english)


FIGURES = {word for number in range(21, 1000) for word in in_words(number)}
FIGURES |= {word for english, german in ORDINALS.values() for word in (english, german + "n")}


def words(pair: Pair) -> set[str]:
    """The words of both sides, but for figures, which are put together from parts."""
    bare = [word.strip(".,!?") for word in f"{pair.english} {pair.german}".split()]
    return {word for word in bare if not any(sign.isdigit() for sign in word) and word.lower() not in FIGURES}
