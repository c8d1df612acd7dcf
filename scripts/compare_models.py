"""Train every model and every auxiliary loss for the same time on the same data, and write a report.

Runs that are over are not made again: the command can be killed and repeated, or told to do only some.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from comparison.facts import Facts, machine_and_commits
from comparison.report import document
from comparison.runs import LOSSES, MODELS, Contestant, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder with Multi30k's train.en and the like")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training for each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/comparison"), help="where the runs are kept")
    parser.add_argument("--only", nargs="*", default=[], choices=[*MODELS, *LOSSES], help="some of them")
    parser.add_argument("--report", type=Path, default=Path("docs/comparison.md"))
    arguments = parser.parse_args()
    common = [
        "experiment=comparison",
        f"data.root={arguments.data.absolute()}",
        f"run.max_minutes={arguments.minutes}",
        f"run.seed={arguments.seed}",
        f"compute.threads={arguments.threads}",
    ]
    for name, contestant in (MODELS | LOSSES).items():
        if not arguments.only or name in arguments.only:
            train(contestant, arguments.runs / name, common)
    models, losses = _finished(MODELS, arguments.runs), _finished(LOSSES, arguments.runs)
    folders = [facts.folder for facts in (models | losses).values()]
    conditions = [
        f"Multi30k English–German, `test_2016_flickr`, raw and cased; each trained for {arguments.minutes:g} minutes",
        f"with `experiment=comparison`, seed {arguments.seed}. ± is the 95 % bootstrap interval over sentences, p",
        "that of a paired bootstrap against the Transformer. A source token is uncovered whose attention from the",
        "whole reference sums to less than 0.2.",
        "",
        machine_and_commits(folders, threads=arguments.threads),
        "",
        f"`python scripts/compare_models.py --data PATH --minutes {arguments.minutes:g} --seed {arguments.seed}`",
    ]
    text = document(models, losses, conditions)
    arguments.report.write_text(text, encoding="utf-8")
    print(text)


def _finished(contestants: dict[str, Contestant], runs: Path) -> dict[str, Facts]:
    return {name: Facts.of(runs / name) for name in contestants if (runs / name / "result.json").exists()}


if __name__ == "__main__":
    main()
