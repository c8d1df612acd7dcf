"""Two-sample tests of distributions and shares; by NumPy alone."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_TERMS = 100  # of the series, which alternates and falls fast
_TIE = 1e-7  # relative difference of probabilities that is rounding


def ks_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Greatest difference between the empirical distribution functions of two samples (Kolmogorov and Smirnov)."""
    first, second = np.sort(first), np.sort(second)
    values = np.concatenate([first, second])
    below = [np.searchsorted(sample, values, side="right") / len(sample) for sample in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def ks_p_value(distance: float, first_size: int, second_size: int) -> float:
    """Probability that two samples of one distribution are at least so far apart.

    The asymptotic distribution with the correction for small samples by Stephens (1970), as in Numerical Recipes (Press
    et al. 2007, 14.3.3). Of values with ties, such as lengths, the true probability is smaller.
    """
    root = math.sqrt(first_size * second_size / (first_size + second_size))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.3:  # the series converges slowly there, and its value is 1 to five digits
        return 1.0
    terms = np.arange(1, _TERMS + 1)
    total = 2 * float(np.sum((-1.0) ** (terms - 1) * np.exp(-2 * terms**2 * scaled**2)))
    return min(max(total, 0.0), 1.0)


def fisher_p_value(first: int, first_size: int, second: int, second_size: int) -> float:
    """Fisher's exact test, two-sided, of two counts: probability of all tables that are at most as likely.

    first of first_size and second of second_size have a property; the hypothesis is one probability of it.
    """
    both = first + second
    counts = np.arange(max(0, both - second_size), min(first_size, both) + 1)
    logs = _log_choose(first_size, counts) + _log_choose(second_size, both - counts)
    logs -= logs.max()
    weights = np.exp(logs)
    observed = weights[first - counts[0]]
    return min(1.0, float(weights[weights <= observed * (1 + _TIE)].sum() / weights.sum()))


def precedence_p_value(below: int, rank: int, first_size: int, second_size: int) -> float:
    """Probability that at least `below` of second_size values are smaller than the first sample's rank-th smallest.

    The exact precedence test (Nelson 1963): they are if, of the below + rank - 1 smallest values of both samples, fewer
    than `rank` are of the first. One-sided: only an increase counts.
    """
    smallest = below + rank - 1
    counts = np.arange(max(0, smallest - second_size), min(first_size, smallest) + 1)
    logs = _log_choose(first_size, counts) + _log_choose(second_size, smallest - counts)
    weights = np.exp(logs - logs.max())
    return min(1.0, float(weights[counts < rank].sum() / weights.sum()))


def _log_choose(size: int, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    factorials = _log_factorials(1 << size.bit_length())
    return factorials[size] - factorials[counts] - factorials[size - counts]


@lru_cache(maxsize=32)
def _log_factorials(size: int) -> NDArray[np.float64]:
    """(size + 1,) logarithms of 0!, 1!, …"""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])
