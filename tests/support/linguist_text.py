"""Made-up parallel text as a linguist's collection may hold it: two files, no validation set, and every oddity at once.

The language is invented; its words are strings of syllables, and every word has one translation. Nothing here was taken
from a real corpus.
"""

from __future__ import annotations

import random
from pathlib import Path

_ONSETS = ("tl", "ch", "k", "m", "n", "p", "t", "tz", "x", "y", "hu", "c")
_VOWELS = ("a", "e", "i", "o", "ā", "ē", "ī", "ō")
_TARGET_SYLLABLES = ("ba", "der", "fin", "gol", "lum", "mar", "nis", "pol", "ras", "tun", "vel", "zi")

LIMIT_CHARACTERS = 2000  # data.cleaning.max_characters
LIMIT_TOKENS = 256  # data.cleaning.max_tokens and model.max_length
LONGEST = 24_050


def write_linguist_text(folder: Path, *, pairs: int = 900, seed: int = 7) -> Path:
    """Write train.src and train.tgt: blank lines, spaces only, copies, very long lines, lines at every limit ± 1,
    combining marks in both forms, no-break spaces, control characters, tabs, CR and BOM."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [*_ordinary_pairs(pairs, seed), *_odd_pairs(), *_pairs_at_the_limits()]
    random.Random(seed).shuffle(lines)
    for side, name in enumerate(("train.src", "train.tgt")):
        text = "".join(pair[side] + "\n" for pair in lines)
        (folder / name).write_bytes(text.encode("utf-8"))
    return folder


def _lexicon(draw: random.Random, size: int = 300) -> dict[str, str]:
    lexicon: dict[str, str] = {}
    while len(lexicon) < size:
        word = "".join(draw.choice(_ONSETS) + draw.choice(_VOWELS) for _ in range(draw.randint(1, 4)))
        lexicon[word] = "".join(draw.choice(_TARGET_SYLLABLES) for _ in range(draw.randint(1, 3)))
    return lexicon


def _ordinary_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    lexicon = _lexicon(draw)
    words = list(lexicon)
    weights = [1 / rank for rank in range(1, len(words) + 1)]  # Zipf
    pairs = []
    for _ in range(count):
        chosen = draw.choices(words, weights, k=draw.choice((1, 2, 3, 5, 8, 12, 20)))
        source, target = " ".join(chosen), " ".join(lexicon[word] for word in reversed(chosen))
        pairs.append((f"{source} .", f"{target[:1].upper()}{target[1:]}."))
    return pairs


def _odd_pairs() -> list[tuple[str, str]]:
    return [
        ("", ""),
        ("", "Marpol."),
        ("tlaca", ""),
        ("   ", "\t"),
        ("I Tecpatl xihuitl , 1324 .", "I Tecpatl xihuitl , 1324 ."),
        ("\ufefftlaca chantli", "Barasmar\u00a0zi."),
        ("tlaca\rchantli", "Bar\x94asmar."),
        ("tla\u00adca chan\u200btli", "Ba\u202frasmar\u3000zi."),
        ("a\u0304mo tlein", "Vele\u0301 zi."),
        ("tlein\tquichihua", "Velzi\u2028nis."),
        ("«Xihuāllauh» — ōquihtoh", "„Vel“ – polnis…"),
        (("tlacatl cualli " * 1604)[:LONGEST], "Lummar."),
        ("Lummar.", ("barder fin " * 2187)[:LONGEST]),
    ]


def _pairs_at_the_limits() -> list[tuple[str, str]]:
    """Each limit, one below and one above; one frequent word a token, so that some pairs have exactly 256."""
    characters = [("k" + "a" * 9) * 201, ("b" + "a" * 9) * 201]
    pairs = [
        tuple(text[: LIMIT_CHARACTERS + over] for text in characters) for over in (-1, 0, 1)
    ]  # a single word without end
    for words in range(LIMIT_TOKENS - 4, LIMIT_TOKENS + 3):
        pairs.append((" ".join(["tlaca"] * words), " ".join(["bader"] * words)))
        pairs.append((" ".join(["tlaca"] * words), "Bader lummar."[:60] * 8))
    return [(source, target) for source, target in pairs]
