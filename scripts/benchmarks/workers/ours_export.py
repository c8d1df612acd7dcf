"""Our own conversion of a model directory for CTranslate2.

Where the extra is not installed, the package comes from the peer's environment, which has the same Python.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

from benchmarks.protocol import Channel
from translate.checkpoint import load_model
from translate.exporting.ctranslate2_converter import export_ctranslate2


def main() -> None:
    channel = Channel()
    settings = channel.settings
    if importlib.util.find_spec("ctranslate2") is None:
        sys.path += map(str, Path(settings["environment"]).glob("lib/python*/site-packages"))
    export_ctranslate2(load_model(settings["model"], device=torch.device("cpu")), Path(settings["converted"]))
    channel.ready()


if __name__ == "__main__":
    main()
