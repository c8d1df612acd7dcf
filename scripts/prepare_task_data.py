"""Data of tasks other than translation: made-up questions, and a baseline for summaries, questions and answers.

    python scripts/prepare_task_data.py questions data/questions
    python scripts/prepare_task_data.py first-sentences < valid.dialogue > baseline.txt

`questions` writes a corpus in SQuAD's JSON from the facts of questions.yaml. Each passage tells of several people,
and each question asks about one of them, so that a model has to find the name in the passage. `first-sentences` copies
the first sentence of every source line: of a conversation its first turn, of a question with its passage the passage's.
"""

import argparse
import json
import random
import re
import sys
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from translate.data.readers import SEPARATOR
from translate.text import read_lines

FACTS = yaml.safe_load(Path(__file__).with_name("questions.yaml").read_text())
NAMES = list(map("".join, product(*FACTS["names"])))
_END = re.compile(r"(?<=[.!?])\s+(?=\S)| ?<nl> ?")


def make_passage(source: random.Random, number: str) -> dict[str, Any]:
    """Four to six people, of whom two are asked about."""
    people, facts = source.sample(NAMES, source.randint(4, 6)), []
    for name in people:
        words = {"name": name} | {kind: source.choice(choices) for kind, choices in FACTS["words"].items()}
        facts.append([text.format(**words) for text in source.choice(FACTS["kinds"])])
    context = " ".join(sentence for sentence, _, _ in facts)
    questions = []
    for index, (sentence, question, answer) in enumerate(source.sample(facts, 2)):
        start = context.index(sentence) + sentence.index(answer)
        answers = [{"text": answer, "answer_start": start}]
        questions.append({"id": f"{number}-{index}", "question": question, "answers": answers})
    return {"context": context, "qas": questions}


def write_questions(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, passages, seed in FACTS["files"]:
        source = random.Random(seed)
        paragraphs = [make_passage(source, f"{seed}-{number}") for number in range(passages)]
        corpus = {"version": "1.1", "data": [{"title": "People", "paragraphs": paragraphs}]}
        (folder / name).write_text(json.dumps(corpus, indent=1) + "\n", encoding="utf-8")


def first_sentence(line: str) -> str:
    return _END.split(line.rpartition(SEPARATOR)[2].strip(), maxsplit=1)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True)
    tasks.add_parser("questions", help="a corpus for question answering").add_argument("folder", type=Path)
    tasks.add_parser("first-sentences", help="a baseline, from standard input to standard output")
    arguments = parser.parse_args()
    if arguments.task == "questions":
        write_questions(arguments.folder)
    else:
        for line in read_lines(sys.stdin.buffer):
            sys.stdout.buffer.write(f"{first_sentence(line)}\n".encode())


if __name__ == "__main__":
    main()
