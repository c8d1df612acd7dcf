"""A round of the drill: a run that meets a fault in each session, against one that meets none."""

from __future__ import annotations

import filecmp
import json
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drills.faults import CHANGES_UPDATES, FAULTS, Fault
from drills.journal import Strike
from drills.sessions import Session, continued_from, log_size, newest_step, states

SHIPPED = Path(__file__).parents[2] / "data" / "en-de"
STEPS = 1000
FAULTS_A_ROUND = 6
DELIVERED = ("best/weights.safetensors", "last/weights.safetensors", "evaluation/hypotheses.txt")
OPTIONS = {
    "data": "text_files",
    "data.target_language": "de",
    "model": "tiny",
    "model.encoder_layers": 1,
    "model.decoder_layers": 1,
    "model.d_model": 64,
    "model.ffn_dim": 128,
    "tokenizer.vocab_size": 400,
    "batch.tokens": 500,
    "schedule.warmup_steps": 20,
    "optimizer.learning_rate": 2e-3,
    "averaging.ema_decay": 0.9,
    "averaging.last": 0,
    "validation.every": 50,
    "validation.attention_maps": 0,
    "search": "greedy",
    "search.max_length": 30,
    "run.max_steps": STEPS,
    "run.save_every": 25,
    "run.log_every": 25,
    "run.patience": 0,
    "run.keep": 3,
}


def write_corpus(folder: Path) -> None:
    """Write a part of the shipped corpus, which a fault may change."""
    folder.mkdir(exist_ok=True)
    for split, count in (("train", 3000), ("valid", 40), ("test", 30)):
        for language in ("en", "de"):
            lines = (SHIPPED / f"{split}.{language}").read_text(encoding="utf-8").split("\n")[:count]
            (folder / f"{split}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass
class Round:
    """A disturbed run and its undisturbed counterpart, drawn from the seed and the round's number."""

    output: Path
    number: int
    seed: int
    bug: str | None = None
    strikes: list[Strike] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed} {self.number}")
        self.folder = self.output / f"round-{self.number:03}"
        self.run = self.folder / "disturbed"

    def play(self, kinds: Sequence[str]) -> list[Strike]:
        """Strike with the first of these kinds that fit; returns what came of each."""
        shutil.rmtree(self.folder, ignore_errors=True)  # of a drill that was ended in this round
        first = FAULTS.get(kinds[0])
        self.ranks = self.chance.choice([1, 1, 2] if first is None or first.ranks == (1, 2) else first.ranks)
        changing = next((kind for kind in kinds[:FAULTS_A_ROUND] if kind in CHANGES_UPDATES), None)
        # updates with NaN, or the number of positions from which memory does not suffice
        steps, positions = sorted(self.chance.sample(range(20, STEPS - 20), 2)), self.chance.randrange(250, 450)
        self.changes = {"nan": steps, "out_of_memory": positions}
        self.planted = self._planted(changing, 0) | ({self.bug: True} if self.bug else {})
        drawn = self._draw(kinds)
        # with two threads, validation decodes in workers; on a busy machine two are far slower than one
        self.threads = 2 if "kill_worker" in drawn else 1
        for kind in drawn:
            self._strike(kind, FAULTS[kind])
        self._finish(self.run, self.planted)
        if changing:
            progress = json.loads((states(self.run)[-1] / "progress.json").read_text(encoding="utf-8"))
            count = progress["skipped" if changing == "nan" else "divided"]
            self._note(changing, "" if count else "no update was skipped or divided")
        self._compare(self._undisturbed(changing))
        if not any(strike.finding for strike in self.strikes):
            shutil.rmtree(self.folder)  # what led to a finding stays
        return self.strikes

    def _draw(self, kinds: Sequence[str]) -> list[str]:
        fitting = [kind for kind in kinds if kind in FAULTS and self.ranks in FAULTS[kind].ranks]
        drawn = fitting[:FAULTS_A_ROUND]
        self.chance.shuffle(drawn)
        # last, as the run then continues to its end: processes outlive torchrun, and workers are found late
        return sorted(drawn, key=lambda kind: kind in ("kill_torchrun", "kill_worker"))

    def _planted(self, changing: str | None, counterpart: int) -> dict[str, Any]:
        return {CHANGES_UPDATES[changing][counterpart]: self.changes[changing]} if changing else {}

    def _session(self, run: Path, planted: dict[str, Any], environment: dict[str, str] | None = None) -> Session:
        corpus = self.output / "corpus"
        options = [f"{key}={value}" for key, value in OPTIONS.items()] + [f"data.cache={run.parent / 'cache'}"]
        options += [
            f"data.{split}.{side}={corpus / split}.{language}"
            for split in ("train", "valid", "test")
            for side, language in (("source", "en"), ("target", "de"))
        ]
        options += ["data.test.labels=", f"compute.threads={self.threads}"]
        session = Session(run, run.parent / "notes", options, self.ranks, planted, environment or {})
        session.start()
        return session

    def _strike(self, kind: str, fault: Fault) -> None:
        """One session that meets a fault; for a cold one, a session that finds the damage."""
        restore = None
        if fault.damage is not None:
            while len(states(self.run)) < 2:  # damage may cost one
                if newest_step(self.run) >= STEPS:
                    return
                self._advance()
            restore = fault.damage(self.run, self.output / "corpus", self.chance)
        self._meet(kind, fault, restore)

    def _meet(self, kind: str, fault: Fault, restore: Callable[[], None] | None) -> None:
        began, before = time.monotonic(), log_size(self.run)
        found = states(self.run)
        newest = newest_step(self.run)
        expected = _step(found[-1 - fault.lost]) if len(found) > fault.lost else 0
        planted = self.planted | fault.planted(self.chance)
        session = self._session(self.run, planted, fault.environment)
        struck = fault.refused or self._disturb(session, fault, newest)
        status = session.wait()
        finding = self._judge(session, fault, status, struck)
        if not finding and not fault.refused and expected and continued_from(self.run, before) != expected:
            finding = f"continued from step {continued_from(self.run, before)}, not {expected}"
        if restore is not None:
            restore()
        if struck or finding:
            self._note(kind, finding, seconds=time.monotonic() - began)

    def _disturb(self, session: Session, fault: Fault, since: int) -> bool:
        """Strike at a random moment after the session has saved a state; False: the session had ended."""
        while session.is_running and newest_step(self.run) <= since:
            time.sleep(0.02)
        time.sleep(self.chance.uniform(0.0, 0.6))
        if fault.damage is not None:
            session.process.terminate()
            return True
        if not session.is_running:
            return fault.strike is None and session.process.returncode != 0
        return fault.strike is None or fault.strike(session, self.chance)

    def _judge(self, session: Session, fault: Fault, status: int | None, struck: bool) -> str:
        if status is None:
            return "the session hung"
        if fault.refused:
            return "" if status == 1 and session.errors() else f"status {status} where an error was due"
        if (lines := session.tracebacks()) and not fault.noisy:
            return f"traceback: {lines[0]}"
        ended_first = status == 0 and newest_step(self.run) >= STEPS
        is_right = status != 0 if self.ranks > 1 else status in fault.statuses
        return "" if is_right or ended_first else f"status {status}, not {fault.statuses}; {session.errors()}"

    def _advance(self) -> None:
        """A session without a fault until it has saved once more."""
        session = self._session(self.run, self.planted)
        since = newest_step(self.run)
        while session.is_running and newest_step(self.run) <= since + 25:
            time.sleep(0.05)
        session.process.terminate()
        session.wait()

    def _finish(self, run: Path, planted: dict[str, Any]) -> None:
        session = self._session(run, planted)
        if (status := session.wait()) != 0:
            self._note("finish", f"the last session ended with status {status}: {session.errors()}")

    def _undisturbed(self, changing: str | None) -> Path:
        """A run without faults; kept for later rounds unless its updates are changed."""
        parent = self.folder / "counterpart" if changing else self.output / f"undisturbed-{self.ranks}-{self.threads}"
        run = parent / "run"
        if not (run / "result.json").exists():
            run.mkdir(parents=True, exist_ok=True)
            self._finish(run, self._planted(changing, 1))
        return run

    def _compare(self, undisturbed: Path) -> None:
        names = [
            *DELIVERED,
            *(f"state/{states(undisturbed)[-1].name}/{kind}.safetensors" for kind in ("weights", "average")),
        ]
        _, changed, missing = filecmp.cmpfiles(undisturbed, self.run, names, shallow=False)
        if changed or missing:
            kinds = ", ".join(strike.kind for strike in self.strikes)
            self._note(
                "comparison", f"different from the undisturbed run after {kinds}: {', '.join(changed + missing)}"
            )

    def _note(self, kind: str, finding: str, *, seconds: float = 0.0) -> None:
        strike = Strike(kind, self.ranks, newest_step(self.run), round(seconds, 1), finding)
        self.strikes.append(strike)
        print(f"{self.number}: {kind}, {self.ranks} ranks, step {strike.step}, {seconds:.0f} s  {finding}", flush=True)


def _step(state: Path) -> int:
    return int(state.name.removeprefix("step-"))
