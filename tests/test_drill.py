"""Parts of the fault drill: what it draws, what it keeps, and what a power cut takes."""

import os
import random
import time

from drills.faults import CHANGES_UPDATES, FAULTS
from drills.journal import Journal, Strike
from drills.sessions import Session, continued_from, newest_step, unflushed


def test_kinds_that_struck_least_are_drawn_first_and_a_drill_continues(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, kinds=["kill", "full_disk", "nan"], least=1, count=4)
    assert journal.next_round == 1
    journal.write(1, [Strike("kill", 1, 20, 3.0), Strike("nan", 1, 40, 0.0), Strike("kill", 2, 20, 3.0)])
    assert journal.kinds_needed(random.Random(0))[0] == "full_disk"
    assert not journal.is_complete
    continued = Journal(path, kinds=["kill", "full_disk", "nan"], least=1, count=4)
    assert continued.strikes == journal.strikes
    assert continued.next_round == 2
    continued.write(2, [Strike("full_disk", 1, 60, 2.0, "the session hung")])
    assert continued.is_complete
    assert [strike.kind for strike in continued.findings] == ["full_disk"]
    assert "FOUND: full_disk, 1 processes, step 60: the session hung" in continued.summary()


def test_there_are_more_than_twenty_kinds_and_each_can_meet_a_run():
    assert len([*FAULTS, *CHANGES_UPDATES]) >= 30
    assert all(fault.strike or fault.damage or fault.planted(random.Random(0)) for fault in FAULTS.values())


def test_a_power_cut_takes_files_that_were_written_and_not_flushed(tmp_path):
    session = Session(tmp_path / "run", tmp_path / "notes", [])
    session.began = time.time() - 1
    (tmp_path / "run").mkdir()
    session.notes.mkdir()
    for name in ("flushed", "grown", "never", "train.log", "events.out.tfevents.1"):
        (tmp_path / "run" / name).write_text(name)
    os.utime(tmp_path / "run" / "flushed")
    flushes = [(tmp_path / "run" / name).stat() for name in ("flushed", "grown")]
    (session.notes / "flushed").write_text("".join(f"{found.st_ino} {found.st_size}\n" for found in flushes))
    with open(tmp_path / "run" / "grown", "a") as file:
        file.write("more")
    assert sorted(path.name for path in unflushed(session)) == ["grown", "never"]


def test_step_of_the_log_and_of_the_newest_state(tmp_path):
    for name in ("step-00000020", "step-00000040", "step-00000060.damaged", "step-00000080.0123abcd.new"):
        (tmp_path / "state" / name).mkdir(parents=True)
    assert newest_step(tmp_path) == 40
    (tmp_path / "train.log").write_text("continuing from step 20, epoch 0.5\ncontinuing from step 1,040, epoch 2\n")
    assert continued_from(tmp_path, 0) == 1040
    assert continued_from(tmp_path, (tmp_path / "train.log").stat().st_size) == 0
