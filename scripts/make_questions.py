"""A made-up corpus for question answering, in SQuAD's JSON: who owns what, and who lives where.

    python scripts/make_questions.py data/questions

Each passage tells of several people, and each question asks about one of them: to answer it the model has to find the
name in the passage, and say what stands beside it. Passages of the two sets are drawn independently.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

NAMES = [first + last for first in ("An", "Bel", "Cor", "Da", "El", "Fin", "Gus", "Han", "Il", "Jor") for last in
         ("na", "mar", "dis", "lo", "ric", "tha", "vin", "zel")]  # fmt: skip
CITIES = ["Rome", "Oslo", "Lima", "Cairo", "Quito", "Delhi", "Paris", "Tunis", "Seoul", "Berlin", "Sofia", "Hanoi"]
COLOURS = ["red", "blue", "green", "white", "black", "yellow", "brown", "grey"]
THINGS = ["bicycle", "boat", "piano", "lamp", "horse", "violin", "coat", "clock", "camera", "tent"]
FRUITS = ["apples", "pears", "plums", "figs", "grapes", "lemons", "melons", "cherries"]
MONTHS = ["January", "March", "April", "June", "July", "August", "October", "December"]

# sentence, question, answer
KINDS = [
    ("{name} lives in {city}.", "Where does {name} live?", "{city}"),
    ("{name} owns a {colour} {thing}.", "What does {name} own?", "a {colour} {thing}"),
    ("{name} likes {fruit} more than anything.", "What does {name} like?", "{fruit}"),
    ("The birthday of {name} is in {month}.", "When was {name} born?", "{month}"),
]


def make_passage(source: random.Random, names: list[str], number: str) -> dict[str, Any]:
    """Four to six people, of whom two are asked about."""
    people, facts = source.sample(names, source.randint(4, 6)), []
    for name in people:
        words = {
            "name": name,
            "city": source.choice(CITIES),
            "colour": source.choice(COLOURS),
            "thing": source.choice(THINGS),
            "fruit": source.choice(FRUITS),
            "month": source.choice(MONTHS),
        }
        facts.append([text.format(**words) for text in source.choice(KINDS)])
    context = " ".join(sentence for sentence, _, _ in facts)
    questions = [
        {
            "id": f"{number}-{place}",
            "question": question,
            "answers": [{"text": answer, "answer_start": context.index(sentence) + sentence.index(answer)}],
        }
        for place, (sentence, question, answer) in enumerate(source.sample(facts, 2))
    ]
    return {"context": context, "qas": questions}


def make_corpus(passages: int, *, seed: int) -> dict[str, Any]:
    source = random.Random(seed)
    paragraphs = [make_passage(source, NAMES, f"{seed}-{number}") for number in range(passages)]
    return {"version": "1.1", "data": [{"title": "People", "paragraphs": paragraphs}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, passages, seed in (("train-v1.1.json", 10_000, 1), ("dev-v1.1.json", 250, 2)):
        corpus = json.dumps(make_corpus(passages, seed=seed), indent=1)
        (arguments.folder / name).write_text(corpus + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
