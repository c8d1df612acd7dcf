"""Write a model directory of ours as Hugging Face's from_pretrained reads it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.protocol import Channel
from benchmarks.workers.huggingface_model import convert


def main() -> None:
    channel = Channel()
    convert(Path(channel.settings["model"])).save_pretrained(channel.settings["converted"])
    channel.ready()


if __name__ == "__main__":
    main()
