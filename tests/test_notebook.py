"""The notebook, run from its first cell to its last, with a short training."""

from __future__ import annotations

import json

import matplotlib
import pytest

from small_runs import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks" / "quickstart.ipynb"
SMALLER = {
    "STEPS = 500": "STEPS = 8",
    "PAIRS = 4000": "PAIRS = 500",
    "lines[:100]": "lines[:20]",  # each is translated in each of four validations, up to its limit of length
    "lines[100:300]": "lines[20:60]",
    "lines[300:]": "lines[60:]",
}


def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_the_notebook_goes_from_a_file_to_a_scored_model_and_its_attention(tmp_path, monkeypatch, capsys):
    pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(matplotlib, "get_backend", matplotlib.get_backend)
    matplotlib.use("agg")
    space: dict = {}
    for cell in cells():
        if cell["cell_type"] == "code":
            code = "".join(cell["source"])
            for setting, smaller in SMALLER.items():
                code = code.replace(setting, smaller)
            exec(compile(code, f"cell {cell['id']}", "exec"), space)
    assert space["run"].scores["test"].keys() == {"bleu", "chrf"}
    assert space["explanation"].alignment.shape[1] == len(space["explanation"].source)
    # after 8 updates most translations are cut off, and many hypotheses have nearly equal scores
    assert space["comparison"].exact > 0.8 * len(space["comparison"].source)
    assert "# Evaluation of test" in capsys.readouterr().out
    assert (space["STEPS"], len(space["parts"]["valid"]), len(space["parts"]["test"])) == (8, 20, 40)
    assert 400 < len(space["lines"]) <= 500  # equal pairs are one


def test_the_notebook_is_short_and_has_no_outputs():
    assert len(cells()) <= 20
    assert len({cell["id"] for cell in cells()}) == len(cells())
    for cell in cells():
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
