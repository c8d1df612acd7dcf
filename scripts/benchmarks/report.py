"""Results as people and programs read them: a Markdown table and results.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import MEMORY_AND_KERNELS, command_line, describe_machine

Row = Sequence[str | float | int | None]


@dataclass
class Report:
    """One part's results.

    work     what every system was given
    results  what was measured, for programs
    versions of the systems that took part
    absent   the systems that could not, and why
    notes    what a reader of the table must know
    """

    part: str
    work: dict[str, Any]
    threads: int
    headings: Sequence[str] = ()
    rows: list[Row] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    started: str = field(default_factory=lambda: datetime.now().astimezone().isoformat(timespec="seconds"))

    def publish(self, folder: Path) -> None:
        """Write results.json and table.md, and print the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        machine = describe_machine(threads=self.threads)
        content = {
            "part": self.part,
            "command": command_line(),
            "date": self.started,
            "machine": machine,
            "versions": self.versions,
            "peers_environment": MEMORY_AND_KERNELS,
            "work": self.work,
            "results": self.results,
            "absent": self.absent,
            "notes": self.notes,
        }
        (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        text = self._markdown(machine)
        (folder / "table.md").write_text(text, encoding="utf-8")
        print(text, flush=True)

    def _markdown(self, machine: Mapping[str, Any]) -> str:
        lines = [f"## {self.part.capitalize()}", "", f"`{command_line()}`", ""]
        lines += [f"{self.started}; " + "; ".join(f"{key}: {value}" for key, value in machine.items()), ""]
        lines += markdown_table(self.headings, self.rows)
        lines += ["", *(f"- {system}: {version}" for system, version in self.versions.items())]
        lines += [f"- **{system} did not take part**: {reason}" for system, reason in self.absent.items()]
        lines += [f"- {note}" for note in self.notes]
        given = " ".join(f"{key}={value}" for key, value in MEMORY_AND_KERNELS.items())
        lines.append(f"- Every peer was given {given}; ours sets up its process by itself.")
        return "\n".join(lines) + "\n"


def markdown_table(headings: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Columns as wide as their widest cell; the first one to the left, the others to the right."""
    cells = [[*headings], *([readable(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        padded = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return [line(cells[0]), rule, *map(line, cells[1:])]


def readable(value: str | float | int | None) -> str:
    """Three significant digits, all digits of what is larger; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 or isinstance(value, int) else f"{value:.3g}"
