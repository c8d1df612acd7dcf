"""Translated documents in memory: for how long, and how many."""

import pytest

from translate.serving import downloads
from translate.serving.downloads import Downloads


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(downloads.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_document_can_be_fetched_for_ten_minutes(clock):
    kept = Downloads()
    token = kept.add("a.txt", b"A")
    clock.now += 599
    assert [kept.fetch(token).content for _ in range(2)] == [b"A", b"A"]
    clock.now += 2
    assert kept.fetch(token) is None
    assert kept.fetch("other") is None


def test_the_oldest_documents_are_dropped_where_there_are_too_many_bytes(clock, monkeypatch):
    monkeypatch.setattr(downloads, "_KEPT_BYTES", 10)
    kept = Downloads()
    tokens = [kept.add(f"{number}.txt", bytes(4)) for number in range(3)]
    assert [kept.fetch(token) is None for token in tokens] == [True, False, False]
    large = kept.add("large.txt", bytes(100))
    assert kept.fetch(large) is not None


def test_a_document_delays_the_stop_until_it_is_fetched_or_for_half_a_minute(clock):
    kept = Downloads()
    assert not kept.delays_stop
    first, _ = kept.add("a.txt", b"A"), kept.add("b.txt", b"B")
    kept.fetch(first)
    assert kept.delays_stop
    clock.now += 31
    assert not kept.delays_stop
