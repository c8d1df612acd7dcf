"""Random choices that give the same answer on every Python version: they rest on Random.random() alone."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Chance:
    """A seeded source of choices."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)

    def happens(self, probability: float) -> bool:
        return self.source.random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.number(0, len(items) - 1)]

    def recipe(self, *table: tuple[int, Item]) -> Item:
        """One of the (weight, recipe) rows, drawn by weight."""
        return self.pick([recipe for weight, recipe in table for _ in range(weight)])

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.source.random() * (high - low + 1))

    def until(self, make: Callable[["Chance"], Item], accept: Callable[[Item], bool]) -> Item:
        """Draw until the result is accepted."""
        while not accept(made := make(self)):
            pass
        return made

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        keyed = [(self.source.random(), index) for index in range(len(items))]
        return [items[index] for _, index in sorted(keyed)]
