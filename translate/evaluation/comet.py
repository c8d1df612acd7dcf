"""COMET (Rei et al. 2020, 2022), run by the Python of another environment, since its requirements exclude ours.

comet_worker.py is given to that Python as a script. It reads one JSON object from standard input, {"model", "source",
"reference", "systems": a list of lines for each}, and writes {"scores": numbers for each system's lines, "version"}.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from translate.errors import UserError, excerpt
from translate.evaluation.scores import Lines, Statistics
from translate.parsing import parse_json

COMET = "comet"  # name of the metric in tables
DEFAULT_MODEL = "Unbabel/wmt22-comet-da"
_WORKER = Path(__file__).with_name("comet_worker.py")
_INSTALL = "python -m venv comet-env && comet-env/bin/pip install unbabel-comet, then comet=comet-env/bin/python"


def comet_statistics(
    systems: Sequence[Lines], source: Lines, reference: Lines, *, python: str, model: str
) -> list[Statistics]:
    """COMET's scores of each system's N lines, times 100, as counts for intervals and tests.

    python  interpreter of an environment with unbabel-comet

    Raises UserError where the interpreter, the package or the model is missing, and for an answer of another form.
    """
    request = {
        "model": model,
        "source": list(source),
        "reference": list(reference),
        "systems": [list(lines) for lines in systems],
    }
    answer = _call(python, request)
    version, scores = str(answer.get("version", "unknown")), answer.get("scores")
    if not isinstance(scores, list) or not _is_complete(scores, systems):
        raise UserError(f"comet={python}: the answer does not have a score for each line of each system")
    signature = f"model:{model}|nrefs:1|version:unbabel-comet {version}"
    return [
        Statistics(
            np.array([[value, 1.0] for value in own], dtype=np.float32),
            lambda total: 100 * float(total[0] / total[1]),
            name="COMET",
            signature=signature,
        )
        for own in scores
    ]


def _call(python: str, request: dict[str, Any]) -> dict[str, Any]:
    """The worker's answer to a request."""
    try:
        done = subprocess.run(
            [python, str(_WORKER)], input=json.dumps(request).encode(), capture_output=True, check=False
        )
    except OSError as error:
        raise UserError(f"comet={python}: {error.strerror}; make an environment for it: {_INSTALL}") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(f"comet={python}: {excerpt(lines[-1] if lines else f'exit status {done.returncode}')}")
    try:
        answer = parse_json(done.stdout)
    except ValueError as error:
        raise UserError(f"comet={python}: the answer is no JSON ({excerpt(error)})") from None
    return answer if isinstance(answer, dict) else {}


def _is_complete(scores: list[Any], systems: Sequence[Lines]) -> bool:
    """True for a finite number for each line of each system."""
    if [len(own) for own in scores if isinstance(own, list)] != list(map(len, systems)):
        return False
    return all(type(value) in (int, float) and math.isfinite(value) for own in scores for value in own)
