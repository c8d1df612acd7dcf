"""Commands in README and docs are valid."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import subprocess
import sys

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from small_runs import REPOSITORY

TYPED = re.compile(
    r"^    (?:.*\| )?"
    r"(?:(?:(?:sudo \S*/)?python|torchrun \S+) -m translate\.(?P<module>\w+)|"
    r"make train EXPERIMENT=(?P<experiment>\S+) ARGS=)"
    r"(?P<rest>.*)$",
    re.MULTILINE,
)


def documented():
    """Module and options of the commands in the pages' blocks, without options that a reader has to fill in (…)."""
    for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))):
        for typed in TYPED.finditer(re.sub(r" *\\\n +", " ", page.read_text(encoding="utf-8"))):
            words = [word for word in shlex.split(typed["rest"], comments=True) if "…" not in word]
            if typed["experiment"]:
                words = [f"experiment={typed['experiment']}", *shlex.split(words[0]), *words[1:]]
            module = typed["module"] or "train"
            yield pytest.param(module, words, id=f"{page.stem}: {module} {' '.join(words)}"[:90])


@pytest.mark.filterwarnings("ignore:ConfigStore config")  # each command registers its schemas, here in one process
@pytest.mark.parametrize(("module", "words"), list(documented()))
def test_every_documented_command_parses(module, words, monkeypatch, capsys):
    options = [word for word in words if not word.startswith("-")]
    if "--multirun" in words:  # options with several values are parsed by Hydra alone
        parsed = OverridesParser.create().parse_overrides(options)
        options = [word for word, override in zip(options, parsed, strict=True) if not override.is_sweep_override()]
    monkeypatch.setattr(sys, "argv", [module, *options, "--help"])
    runpy.run_module(f"translate.{module}", run_name="__main__", alter_sys=True)
    assert capsys.readouterr().out.startswith(f"usage: python -m translate.{module}")


def test_commands_of_deploying_are_a_script_that_names_files_of_the_repository():
    text = (REPOSITORY / "docs" / "deploying.md").read_text(encoding="utf-8")
    commands = re.findall("^    (.*)$", text, re.MULTILINE)
    subprocess.run(["sh", "-n"], input="\n".join(commands), text=True, check=True)
    copied = {word for command in commands for word in command.split() if word.startswith("deploy/")}
    assert len(copied) >= 4
    assert [path for path in copied if not (REPOSITORY / path).is_file()] == []


@pytest.mark.filterwarnings("ignore:ConfigStore config")
def test_options_of_the_service_in_deploy_exist(monkeypatch, capsys):
    unit = (REPOSITORY / "deploy" / "translate.service").read_text().replace("\\\n", "")
    manifest = yaml.safe_load_all((REPOSITORY / "deploy" / "kubernetes.yaml").read_text())
    deployment = next(each for each in manifest if each["kind"] == "Deployment")
    container = (REPOSITORY / "deploy" / "Containerfile").read_text()
    image = re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*)$", container, re.MULTILINE)
    for words in (
        re.search("^ExecStart=(.*)$", unit, re.MULTILINE)[1].split(),
        deployment["spec"]["template"]["spec"]["containers"][0]["args"],
        [word for line in image for word in json.loads(line)],
    ):
        options = [word for word in words if "=" in word]
        assert len(options) >= 3
        monkeypatch.setattr(sys, "argv", ["serve", *options, "--help"])
        runpy.run_module("translate.serve", run_name="__main__", alter_sys=True)
        assert capsys.readouterr().out.startswith("usage: python -m translate.serve")


def documented_scripts():
    """Script, and subcommand if there is one, of the commands in pages."""
    found = set()
    for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))):
        for name, rest in re.findall(r"python (scripts/\w+\.py)([^`\n]*)", page.read_text(encoding="utf-8")):
            found.add(
                (name, *[word for word in rest.split()[:1] if word.replace("-", "").isalpha() and word[0] != "-"])
            )
    return sorted(found)


@pytest.mark.parametrize("words", documented_scripts(), ids=" ".join)
def test_documented_script_has_the_subcommand(words, monkeypatch, capsys):
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    monkeypatch.setattr(sys, "argv", [*words, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / words[0]), run_name="__main__")
    assert ended.value.code == 0
    assert words[-1].removeprefix("scripts/") in capsys.readouterr().out


def test_every_kind_of_command_is_documented():
    modules = {parameter.values[0] for parameter in documented()}
    assert modules >= {"train", "decode", "evaluate", "compare", "explain"}
    assert any("experiment=summarisation" in parameter.values[1] for parameter in documented())
