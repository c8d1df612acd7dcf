"""The log of a service is read whatever is in it; samples are drawn from its file of texts."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from datetime import timedelta

import pytest

from monitored import START, entries, line_of, sample_file, write_log
from translate.errors import UserError
from translate.monitoring.features import LineFeatures
from translate.monitoring.log import LogEntry, System, choose_lines, read_log
from translate.monitoring.sampling import COLUMNS, draw, read_samples, write_sheet

HASH = "0123456789abcdef" * 4


def lines_of(count: int, **fields) -> list[LineFeatures]:
    return [LineFeatures(source_characters=n + 1, source_tokens=1, segments=1, **fields) for n in range(count)]


def test_entries_survive_the_log(tmp_path):
    [entry] = entries(lines_of(2, flags=("repetition",), log_prob=-0.5), key="k", version=HASH)
    assert LogEntry.from_json(json.loads(line_of(entry))) == entry
    log = read_log([str(write_log(tmp_path / "log", [entry]))], last=100)
    [(system, found)] = log.systems.items()
    assert system == System("en-de", HASH, "en", "de")
    assert [(line.features, line.time, line.key) for line in found] == [(each, START, "k") for each in entry.lines]
    assert (log.entries, log.statuses, log.reading.skipped) == (1, Counter({200: 1}), 0)


OTHER_LINES = [
    "",
    "INFO: started",
    "{",
    "[" * 100_000,
    '{"lines": []}',
    '{"time": "yesterday", "lines": []}',
    '{"time": "0001-01-01T00:00:00+23:59", "lines": []}',
    '{"time": "2026-03-01", "lines": 5}',
    '{"time": "2026-03-01", "lines": [{"source_characters": -5}]}',
    '{"time": "2026-03-01", "lines": [], "model": ' + "1" * 5000 + "}",
    '{"time": "2026-03-01", "lines": [], "model": "' + "x" * 5000 + '"}',
    '{"time": "2026-03-01", "time": "2026-03-02", "lines": []}',
    "7",
]


def test_other_and_damaged_lines_are_counted_and_left_out(tmp_path):
    good = entries(lines_of(4), per_request=2)
    extended = json.dumps(json.loads(line_of(good[1])) | {"level": "info", "nested": {"a": [1]}, "seconds": None})
    path = write_log(tmp_path / "log", [good[0], *OTHER_LINES, extended])
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n" + b"x" * (1 << 25) + b'\n{"time": "2026-03-01T')
    log = read_log([str(path)], last=100)
    assert log.entries == 2
    assert log.reading.skipped >= len(OTHER_LINES) + 3
    lines, notes = choose_lines(log, model="", direction="en-de")
    assert [line.features.source_characters for line in lines] == [1, 2, 3, 4]
    assert any("are no entries of requests" in note for note in notes)


def test_rotated_files_are_read_in_the_order_of_their_times(tmp_path):
    requests = entries(lines_of(12))
    for name, entry in zip(("service.log.2.gz", "service.log.1", "service.log"), requests, strict=True):
        write_log(tmp_path / name, [entry])
    cut = tmp_path / "service.log.3.gz"
    whole = gzip.compress(
        "".join(f"{line_of(e)}\n" for e in entries(lines_of(4000), start=START - timedelta(9))).encode()
    )
    cut.write_bytes(whole[: len(whole) // 2])
    log = read_log([str(tmp_path / "service.log*")], last=12)
    assert [path.rpartition("log")[2] for path in log.files] == [".3.gz", ".2.gz", ".1", ""]
    lines, notes = choose_lines(log, model="", direction="en-de")
    assert [line.features.source_characters for line in lines] == [*range(1, 13)]
    assert "not a complete gzip file" in notes[0]


def test_memory_is_bounded_and_the_newest_lines_stay(tmp_path):
    requests = entries(lines_of(300))
    many = [entries(lines_of(1), model=f"m{number}")[0] for number in range(150)]
    log = read_log([str(write_log(tmp_path / "log", requests[::-1] + many))], last=50)
    assert len(log.systems) == 100
    assert log.ignored == 51
    kept = log.systems[System("en-de", "", "en", "de")]
    assert len(kept) == 50
    assert [line.time for line in kept] == sorted(line.time for line in kept)


def test_lines_of_the_baselines_model_and_direction_are_chosen(tmp_path):
    others = [
        *entries(lines_of(4), version=HASH),
        *entries(lines_of(8), version=HASH[:12], per_request=8),
        *entries(lines_of(3), version="f" * 64),
        *entries(lines_of(2), version=HASH, target="fr"),
    ]
    log = read_log([str(write_log(tmp_path / "log", others))], last=100)
    lines, notes = choose_lines(log, model=HASH, direction="en-de")
    assert len(lines) == 12
    assert "other models or versions are left out: en-de ffffffffffff en-de" in notes[0]
    lines, notes = choose_lines(log, model="a" * 64, direction="en-fr")
    assert len(lines) == 2
    assert "no line of this version" in notes[0]
    with pytest.raises(UserError, match="direction=en-it, but of en-de, en-fr"):
        choose_lines(log, model=HASH, direction="en-it")


def test_requests_of_one_key_and_failed_ones(tmp_path):
    failed = LogEntry(time=START, status=429)
    path = write_log(tmp_path / "log", [*entries(lines_of(4), key="a"), *entries(lines_of(8), key="b"), failed])
    log = read_log([str(path)], last=100, key="b")
    assert sum(map(len, log.systems.values())) == 8
    assert read_log([str(path)], last=100).statuses == {200: 3, 429: 1}
    with pytest.raises(UserError, match="no entry of a request of the key c"):
        read_log([str(path)], last=100, key="c")
    with pytest.raises(UserError, match="no such file"):
        read_log([str(tmp_path / "none*")], last=100)


def test_a_sample_has_lines_of_every_confidence(tmp_path):
    path = sample_file(tmp_path / "s", [f"line {n}" for n in range(1000)], log_probs=[-n / 100 for n in range(1000)])
    drawn = draw(read_samples([str(path)], last=10_000), 50, seed=1)
    assert Counter(int(-line.features.log_prob) for line in drawn) == dict.fromkeys(range(10), 5)
    assert drawn == draw(read_samples([str(path)], last=10_000), 50, seed=1)
    assert drawn != draw(read_samples([str(path)], last=10_000), 50, seed=2)
    assert [line.id for line in drawn] != sorted((line.id for line in drawn), key=lambda name: int(name[1:-2]))


def test_a_pair_counts_once_and_all_are_drawn_where_there_are_few(tmp_path):
    path = sample_file(tmp_path / "s", ["a b", "c d", "a b"])
    with path.open("a") as file:
        file.write(
            '{"lines": [{"text": 1}, [], {"text": "a", "translation": "b", "features": {}}]}\nnoise\n{"lines": 1}\n'
        )
    drawn = draw(read_samples([str(path)], last=100), 50, seed=1)
    assert sorted(line.text for line in drawn) == ["a b", "c d"]
    (tmp_path / "none").write_text("{}\n")
    with pytest.raises(UserError, match="no translation there"):
        read_samples([str(tmp_path / "none")], last=100)


@pytest.mark.parametrize(("name", "delimiter", "encoding"), [("s.csv", ",", "utf-8-sig"), ("s.tsv", "\t", "utf-8")])
def test_a_sheet_has_a_row_for_each_translation_and_runs_no_formula(tmp_path, name, delimiter, encoding):
    texts = [
        '=HYPERLINK("http://x")',
        "+1",
        "@a",
        "\t\0=1",
        "＝1",
        "tab\there",
        'ü, "q"',
        "two\u2028lines\r",
        "\x1b[2J",
    ]
    lines = draw(read_samples([str(sample_file(tmp_path / "s", texts))], last=100), 10, seed=1)
    write_sheet(tmp_path / name, lines)
    with (tmp_path / name).open(encoding=encoding, newline="") as file:
        header, *rows = csv.reader(file, delimiter=delimiter)
    assert tuple(header) == COLUMNS
    cells = {row[2] for row in rows}
    assert cells == {
        '\'=HYPERLINK("http://x")',
        "'+1",
        "'@a",
        "'  =1",
        "'＝1",
        "tab here",
        'ü, "q"',
        "two lines ",
        " [2J",
    }
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert all(row[4:] == [""] * 4 for row in rows)
