"""The package installed with pip, and its console script."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from small_runs import REPOSITORY, options, write_corpus
from translate import __version__
from translate.__main__ import COMMANDS, main

IDENTITY = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "translate", "configs")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of what the wheel is built from: setuptools packs whatever an earlier build left beside it."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    folder = built_once(tmp_path_factory, "wheel", lambda folder: pip("wheel", "--wheel-dir", folder, sources))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = built_once(tmp_path_factory, "environment", lambda folder: environment_with(wheel, folder))
    return folder / "bin"


def built_once(tmp_path_factory, name, build):
    """Folder that all processes of this test session share, filled by the first that needs it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # which holds a folder for each process
    complete = root / f"{name}.complete"
    with FileLock(root / f"{name}.lock"):
        if not complete.exists():
            build(root / name)
            complete.touch()
    return root / name


def environment_with(package, folder):
    """Folder of commands of a fresh environment with the package; its dependencies are those of this environment."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    paths = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    site_packages = next(folder.glob("lib/python*/site-packages"))
    # folders named in a .pth file come last, and their own .pth files, such as an editable install's, are not read
    (site_packages / "dependencies.pth").write_text("\n".join(paths), encoding="utf-8")
    pip("--python", python, "install", *package_arguments(package))
    return python.parent


def package_arguments(package):
    return [package] if package.suffix == ".whl" else ["--editable", package]


def pip(*arguments):
    command, rest = (arguments[:3], arguments[3:]) if arguments[0] == "--python" else (arguments[:1], arguments[1:])
    words = [*command, "--quiet", "--no-index", "--no-deps", "--no-build-isolation", *rest]
    run(sys.executable, "-m", "pip", *words)


def run(*command, cwd=None, status=0):
    """Output and errors of a command that does not see this source tree."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd, env=variables)
    assert result.returncode == status, result.stderr
    return result.stdout, result.stderr


def test_wheel_holds_modules_templates_configurations_the_page_and_py_typed(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("translate/**/*.py")}
    templates = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("translate/**/*.jinja")}
    configurations = {f"translate/{path.relative_to(REPOSITORY)}" for path in REPOSITORY.glob("configs/**/*.yaml")}
    installed = {name for name in names if ".dist-info/" not in name}
    page = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("translate/serving/page/*")}
    assert installed == modules | templates | configurations | page | {"translate/py.typed"}


def test_an_installed_package_trains_decodes_and_explains_in_an_empty_folder(installed, tmp_path):
    """The manifest names no commit, though an environment may lie in a repository of something else."""
    for arguments in (["init"], [*IDENTITY, "commit", "--allow-empty", "--message=other"]):
        run("git", "-C", installed.parent, *arguments)
    corpus, folder = write_corpus(tmp_path / "corpus"), tmp_path / "empty"
    folder.mkdir()
    run(installed / "translate", "train", *options(corpus, Path("run"), run__max_steps=4), cwd=folder)
    decode = ["decode", "model=run", f"input={corpus / 'test.src'}", "output=test.hyp", "threads=1"]
    run(installed / "translate", *decode, cwd=folder)
    assert len((folder / "test.hyp").read_bytes().splitlines()) == 20
    explain = ["explain", "model=run", f"input={corpus / 'test.src'}", "output=pages", "lines=1"]
    run(installed / "translate", *explain, cwd=folder)
    assert {path.name for path in (folder / "pages").glob("*.html")} == {"index.html", "0001.html"}
    manifest = json.loads((folder / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["translate"], manifest["commit"]) == (__version__, "")


def test_missing_shipped_corpus_error_names_the_corpus_options(installed, tmp_path):
    _, errors = run(installed / "translate", "train", cwd=tmp_path, status=1)
    assert "data.root=data/en-de: no such folder" in errors
    assert "data.train.source" in errors


def test_an_editable_installation_reads_the_configurations_of_its_checkout(sources, tmp_path):
    commands = environment_with(sources, tmp_path / "environment")
    (sources / "configs" / "search" / "new_choice.yaml").write_text("defaults: [greedy]\n", encoding="utf-8")
    output, _ = run(commands / "translate", "decode", "--help", cwd=tmp_path)
    assert "new_choice" in output


def test_console_script_and_module_are_one_command(installed, tmp_path):
    answers = {run(*command, "--help", cwd=tmp_path)[0] for command in spellings(installed, "decode")}
    assert len(answers) == 1
    assert "Options" in answers.pop()


def spellings(installed, command):
    return (
        (installed / "translate", command),
        (installed / "python", "-m", "translate", command),
        (installed / "python", "-m", f"translate.{command}"),
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=str)
def test_help_lists_all_commands(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["translate", *arguments])
    main()
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert listed == set(COMMANDS)


def test_console_script_imports_only_the_requested_command(installed, tmp_path):
    code = (
        "import sys; from translate.__main__ import COMMANDS, main; sys.argv = ['translate', *sys.argv[1:]]; main(); "
        "print(*(name for name in ('hydra', *(f'translate.{name}' for name in COMMANDS)) if name in sys.modules))"
    )
    assert run(installed / "python", "-c", code, "--help", cwd=tmp_path)[0].splitlines()[-1] == ""
    assert run(installed / "python", "-c", code, "score", "--version", cwd=tmp_path)[0].splitlines()[-1] == "hydra"


def test_every_command_is_a_module_that_can_be_run():
    modules = [path for path in REPOSITORY.glob("translate/**/*.py") if "\n    run_command(" in path.read_text("utf-8")]
    # a package is run by its __main__.py
    runnable = {path.parent.name if path.stem == "__main__" else path.stem for path in modules}
    assert runnable == set(COMMANDS)


@pytest.mark.parametrize("arguments", [["--version"], ["decode", "--version"]], ids=" ".join)
def test_version_flag_prints_the_version_of_the_project(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["translate", *arguments])
    main()
    assert capsys.readouterr().out == f"translate {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("trian", "trian: unknown command; did you mean train?"), ("x=1", "x=1: unknown command; commands: train, ")],
)
def test_unknown_command_error_suggests_the_nearest(typed, expected, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["translate", typed])
    with pytest.raises(SystemExit) as refusal:
        main()
    assert expected in str(refusal.value)
