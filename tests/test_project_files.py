"""README, documentation and project files agree with the repository."""

import itertools
import re
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest
import yaml

from forked import call_in_fork
from translate import __version__

REPOSITORY = Path(__file__).parent.parent
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "data/README.md",
    *(f"docs/{path.name}" for path in sorted(REPOSITORY.glob("docs/*.md"))),
]


def read(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


def files_of_the_tree():
    """Files below translate/ in README's tree, with their descriptions; a folder stands for its __init__.py."""
    block = read("README.md").partition("    translate/ ")[2].partition("\n\n")[0]
    folders = {2: PurePosixPath("translate")}  # by the indentation of what they hold
    for indent, name, description in re.findall(r"^    ( +)(\S+)(?: {2,}(.*))?$", block, re.MULTILINE):
        path = folders[len(indent)] / name
        if name.endswith("/"):
            folders[len(indent) + 2] = path
            path /= "__init__.py"
        yield str(path), description


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", ".pre-commit-config.yaml", ".github/workflows/ci.yml", ".ci/run"])
def test_targets_that_are_named_can_be_made(name):
    named = set(re.findall(r"\bmake ([a-z-]+)", read(name)))
    assert {"check", "test"} <= named <= TARGETS


def test_files_named_to_contributors_exist():
    named = re.findall(r"`((?:[a-z_]+/)+[\w.]*)`", read("CONTRIBUTING.md"))
    assert "translate/models/seq2seq.py" in named
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_files_named_in_the_documentation_exist(page):
    text = re.sub(r"^    # .*$", "", read(page), flags=re.MULTILINE)  # headings of examples: files for readers to write
    named = re.findall(r"(?<!\w/)\b(?:configs|docs|scripts|tests|translate)/[\w/]+\.(?:md|py|tsv|yaml)\b", text)
    named += re.findall(r"(?<![\w/.])deploy/\w[\w.]*\w", text)
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_tests_named_in_the_documentation_exist():
    file, missing = "", []
    for path, name in re.findall(r"`(tests/\w+\.py|…)::(\w+)`", read("docs/reliability.md")):
        file = file if path == "…" else path  # … stands for the file named before
        if not (REPOSITORY / file).exists() or f"\ndef {name}(" not in read(file):
            missing.append(f"{file}::{name}")
    assert file
    assert missing == []


def test_the_citation_is_of_this_version():
    assert yaml.safe_load(read("CITATION.cff"))["version"] == __version__


def test_the_tree_of_the_readme_describes_every_python_file():
    tracked = subprocess.run(
        ["git", "ls-files", "translate/*.py"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    listed = list(files_of_the_tree())
    assert sorted(path for path, _ in listed) == sorted(tracked.stdout.split())
    assert [path for path, description in listed if not description] == []


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-lowest.txt"])
def test_each_package_has_one_version(file):
    lines = [line for line in read(file).splitlines() if line and not line.startswith("#")]
    names = [re.sub("[-_.]+", "-", line.partition("==")[0]).lower() for line in lines]
    assert sorted(names) == sorted(set(names))


def test_lowest_versions_are_those_of_the_project():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    lowest = dict(re.findall(r"^([\w-]+)==([\w.]+)$", read("constraints-lowest.txt"), re.MULTILINE))
    bounds = dict(match for line in wanted for match in re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\w.]+)$", line))
    style_and_docs = {"mypy", "ruff", "setuptools", "mkdocstrings-python", "zensical"}
    assert lowest == {name: bound for name, bound in bounds.items() if name not in style_and_docs}


def test_an_error_in_a_forked_process_does_not_return_into_the_tests():
    """Such a process would run the rest of the tests as a second one, in which SentencePiece's OpenMP crashes."""
    assert call_in_fork(lambda: [][0]) == 1
    tests = {path.name: path.read_text(encoding="utf-8") for path in REPOSITORY.glob("tests/**/*.py")}
    assert [name for name, text in tests.items() if re.search(r"= os\.fork\(\)", text)] == ["forked.py"]
