"""The console script: `translate train …` is `python -m translate.train …`, and likewise for the other commands."""

from __future__ import annotations

import difflib
import runpy
import sys

from translate import __version__
from translate.errors import UserError
from translate.signals import end_silently
from translate.streams import guard_standard_streams

COMMANDS = {
    "train": "train a model, or continue a run, and score it; with --multirun, many",
    "decode": "translate files, or standard input as its lines come",
    "evaluate": "translate a test set, print its scores with signatures, write a report",
    "score": "score given translations by a model, for instance to filter a corpus",
    "compare": "score translations of the same text by several systems beside each other",
    "prepare": "clean and encode a corpus ahead of training, and report on it",
    "explain": "write pages and pictures of what a model attends to",
    "merge": "merge a LoRA into its base model, as a new model directory",
    "convert": "convert a published model into a model directory",
    "export": "convert a model for another runtime, and compare both on the same lines",
    "serve": "serve models over HTTP",
    "monitor": "find drift in the log of a translation service; draw a sample for people to judge",
    "gpu_check": "check the kernels, updates, resuming and decoding of this machine's device",
}


def main() -> None:
    """Run the command named by the first argument; the modules of the others are not imported."""
    guard_standard_streams()
    end_silently()
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command in ("-h", "--help"):
        _show(_help_text())
    elif command == "--version":
        _show(f"translate {__version__}")
    elif command in COMMANDS:
        del sys.argv[1]  # the command reads its options from the rest
        # with alter_sys, worker processes find the command's module as __main__, as under `python -m translate.train`
        runpy.run_module(f"translate.{command}", run_name="__main__", alter_sys=True)
    else:
        sys.exit(_unknown_command(command))


def _show(text: str) -> None:
    try:
        print(text)
    except UserError as error:  # of a full disk
        sys.exit(f"error: {error}")


def _help_text() -> str:
    lines = [f"  {name:10}{description}" for name, description in COMMANDS.items()]
    usage = "usage: translate COMMAND [NAME=VALUE ...]"
    return "\n".join([usage, "", "Commands:", *lines, "", "translate COMMAND --help lists the options of a command."])


def _unknown_command(command: str) -> str:
    near = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"error: {command}: unknown command{hint}; commands: {', '.join(COMMANDS)}"


if __name__ == "__main__":
    main()
