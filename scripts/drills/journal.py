"""Faults that have struck and what they led to, in a file from which a drill continues."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Strike:
    """One fault that struck.

    step     of the newest state afterwards
    finding  what should not have come of it; "" for nothing
    """

    kind: str
    ranks: int
    step: int
    seconds: float
    finding: str = ""


class Journal:
    """The finished rounds of a drill, one line each.

    kinds  to draw from, least times each and count in all
    """

    def __init__(self, path: Path, *, kinds: Sequence[str], least: int, count: int) -> None:
        self._path, self._kinds, self._least, self._count = path, kinds, least, count
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._rounds = [[Strike(**strike) for strike in json.loads(line)["strikes"]] for line in lines]

    @property
    def next_round(self) -> int:
        return len(self._rounds) + 1

    @property
    def strikes(self) -> list[Strike]:
        return [strike for strikes in self._rounds for strike in strikes]

    @property
    def findings(self) -> list[Strike]:
        return [strike for strike in self.strikes if strike.finding]

    @property
    def is_complete(self) -> bool:
        return len(self.strikes) >= self._count and not self._lacking()

    def write(self, number: int, strikes: list[Strike]) -> None:
        """Append a finished round."""
        self._rounds.append(strikes)
        line = json.dumps({"round": number, "strikes": [dataclasses.asdict(strike) for strike in strikes]})
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def kinds_needed(self, chance: random.Random) -> list[str]:
        """Kinds in order of need, the one that struck least first; by chance among equals."""
        counts = self._counts()
        return sorted(self._kinds, key=lambda kind: (counts[kind], chance.random()))

    def missing(self) -> str:
        return (
            ", ".join(f"{kind} {self._counts()[kind]} of {self._least}" for kind in self._lacking()) or "faults in all"
        )

    def summary(self) -> str:
        """Number of strikes of each kind, and all findings."""
        counts = self._counts()
        lines = [f"{kind:20} {counts[kind]:3}" for kind in self._kinds]
        lines.append(f"{'in all':20} {len(self.strikes):3} faults in {len(self._rounds)} rounds")
        lines += [f"FOUND: {x.kind}, {x.ranks} processes, step {x.step}: {x.finding}" for x in self.findings]
        return "\n".join(lines) if self.findings else "\n".join([*lines, "nothing was found"])

    def _counts(self) -> Counter[str]:
        return Counter(strike.kind for strike in self.strikes)

    def _lacking(self) -> list[str]:
        counts = self._counts()
        return [kind for kind in self._kinds if counts[kind] < self._least]
