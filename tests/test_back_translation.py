"""The recipe from one language's text to more training pairs, killed and continued in its stages."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from in_process import call_here
from small_runs import REPOSITORY, command, composed, environment, options, write_corpus
from translate.errors import UserError
from translate.train import run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parallel text, and further lines of the target language, some of them blank."""
    folder = write_corpus(tmp_path_factory.mktemp("corpus"), pairs=300)
    more = (write_corpus(folder / "more", pairs=3000, seed=7) / "train.tgt").read_text().splitlines()
    (folder / "mono.tgt").write_text("".join(f"{line}\n" for line in ["", *more, ""]))
    return folder


def recipe(corpus: Path, folder: Path, **changes: object) -> list[str]:
    settings = {"experiment": "back_translation", "back_translation__monolingual": corpus / "mono.tgt"}
    return options(corpus, folder, **settings | {"run__max_steps": 120} | changes)


def end_when(arguments: list[str], moment, number: signal.Signals) -> str:
    """Start the recipe and send it a signal at a moment; what it has said."""
    process = subprocess.Popen(
        command("train", *arguments), stderr=subprocess.PIPE, cwd=REPOSITORY, env=environment(), text=True
    )
    limit = time.monotonic() + 120
    while not moment() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), said
    return said


def test_the_recipe_killed_in_each_stage_ends_as_the_uninterrupted_one(corpus, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(composed(recipe(corpus, whole, back_translation__keep=0.5)))
    log = (whole / "reverse" / "train.log").read_text(encoding="utf-8")
    assert "1,501 of 3,002 back-translations become training pairs" in log
    assert "translating 3,002 of 3,002 lines" in log

    arguments = recipe(corpus, parts, back_translation__keep=0.5)
    said = end_when(arguments, lambda: any((parts / "reverse").glob("state/step-*")), signal.SIGTERM)
    assert not (parts / "synthetic").exists(), said
    translations = parts / "synthetic" / "translations.tsv"
    end_when(arguments, translations.exists, signal.SIGKILL)
    # as when it is killed in the middle of a line
    content = translations.read_bytes()[:20_000].rstrip(b"\n")
    translations.write_bytes(content)
    assert not content.endswith(b"\n")
    said = end_when(arguments, lambda: any(parts.glob("state/step-*")), signal.SIGKILL)
    left = 3002 - content.count(b"\n")
    assert f"translating {left:,} of 3,002 lines" in said
    result = call_here("train", *arguments)
    assert result.returncode == 0, result.stderr.decode()
    assert b"translating" not in result.stderr
    for name in (
        "synthetic/source.txt",
        "synthetic/target.txt",
        "best/weights.safetensors",
        "evaluation/hypotheses.txt",
    ):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name

    sources = (whole / "synthetic" / "source.txt").read_text().splitlines()
    assert len(sources) == 1501
    assert all(sources)
    [synthetic] = yaml.safe_load((whole / "config.yaml").read_text())["data"]["additional"]
    assert synthetic["tag"] == "<bt>"
    assert b"target_language" in (whole / "reverse" / "manifest.json").read_bytes()


def test_damaged_translations_are_made_again(corpus, tmp_path):
    """Other pairs would be other data to a run that has begun, which it refuses."""
    (tmp_path / "mono").write_bytes(b"".join((corpus / "mono.tgt").read_bytes().splitlines(True)[:40]))
    short = {"run__max_steps": 5, "validation__every": 5, "run__save_every": 5, "averaging__last": 0}
    arguments = recipe(corpus, tmp_path / "run", back_translation__monolingual=tmp_path / "mono", **short)
    assert call_here("train", *arguments).returncode == 0
    folder = tmp_path / "run" / "synthetic"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    table = whole["translations.tsv"]
    for name, content in (
        ("translations.tsv", table.replace(b"-", b"+", 1)),
        ("target.txt", whole["target.txt"][:-5]),
        ("key", b"\xff"),
    ):
        (folder / name).write_bytes(content)
        result = call_here("train", *arguments)
        assert result.returncode == 0, result.stderr.decode()
        assert f"synthetic is damaged ({name} " in result.stderr.decode()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    # without checksums, as an earlier version leaves it: lines that are none, and lines too many
    for content in (table.replace(b"\t", b" ", 1), table[:50] + b"\0" * 4096, table + table, b"\xff\n" + table):
        (folder / "checksums.json").unlink()
        (folder / "translations.tsv").write_bytes(content)
        result = call_here("train", *arguments)
        assert result.returncode == 0, result.stderr.decode()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_wrong_settings_raise_user_errors_before_training(corpus, tmp_path):
    for changes, message in (
        ({"back_translation__monolingual": tmp_path / "nowhere"}, "nowhere"),
        ({"back_translation__keep": 0}, r"back_translation\.keep \(0\.0\) must be at least 1e-06"),
        ({"adapt": "full", "adapt__model": "x"}, "leave adapt= out"),
    ):
        settings = {"back_translation__monolingual": corpus / "mono.tgt"} | changes
        with pytest.raises((UserError, OSError), match=message):
            run(composed(options(corpus, tmp_path / "run", **settings)))
        assert not (tmp_path / "run").exists()
