"""What contributors are told agrees with the repository."""

import re
from pathlib import Path

import pytest
import yaml

from translate import __version__

REPOSITORY = Path(__file__).parent.parent
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def read(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", ".pre-commit-config.yaml", ".github/workflows/ci.yml", ".ci/run"])
def test_targets_that_are_named_can_be_made(name):
    named = set(re.findall(r"\bmake ([a-z-]+)", read(name)))
    assert {"check", "test"} <= named <= TARGETS


def test_files_named_to_contributors_exist():
    named = re.findall(r"`((?:[a-z_]+/)+[\w.]*)`", read("CONTRIBUTING.md"))
    assert "translate/models/seq2seq.py" in named
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_the_citation_is_of_this_version():
    assert yaml.safe_load(read("CITATION.cff"))["version"] == __version__
