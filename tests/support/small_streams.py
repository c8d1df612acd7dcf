"""Update streams over 60 pairs that can be told apart, without files or tokenizer."""

from dataclasses import dataclass, field

import numpy as np

from translate.data.batching import BatchConfig
from translate.data.loader import UpdateStream
from translate.distributed import World


@dataclass
class Pairs:
    """Pair i has i as its first source token, so that batches can be told apart."""

    source: list = field(default_factory=lambda: [np.array([100 + i] + [7] * (i % 9)) for i in range(60)])
    target: list = field(default_factory=lambda: [np.array([200 + i] + [8] * (i % 5)) for i in range(60)])

    @property
    def source_lengths(self):
        return np.array([len(ids) for ids in self.source], dtype=np.int32)

    @property
    def target_lengths(self):
        return np.array([len(ids) for ids in self.target], dtype=np.int32)

    phase_starts = (0.0, 0.5)

    def repeats(self, fraction_done):
        """The second half of the pairs takes part in the first half of the run only."""
        numbers = np.arange(len(self.source))
        return np.where((fraction_done < 0.5) | (numbers < len(numbers) // 2), 1.0, 0.0).astype(np.float32)


def look_up(indices, seed):
    pairs = Pairs()
    return [pairs.source[i] for i in indices], [pairs.target[i] for i in indices]


def drawn_longer(indices, seed):
    """As subword sampling makes them: by up to as much again."""
    random = np.random.default_rng(seed)
    return tuple(
        [np.append(ids, np.full(random.integers(len(ids) + 1), 9)) for ids in side] for side in look_up(indices, seed)
    )


class Encoder:
    """Looks ids up with one function, and after a fraction of the run (None: never) samples them with another."""

    def __init__(self, encode, sample, start):
        self._encode, self._sample, self._start = encode, sample, start
        self.phases = {} if start is None else {"sampled subwords": start}

    def augmentation(self, fraction_done):
        return None

    def lengths_vary(self, fraction_done):
        return self._start is not None and fraction_done >= self._start

    def encode(self, indices, seed, fraction_done):
        encode = self._sample if self.lengths_vary(fraction_done) else self._encode
        return encode(indices, seed)


ALONE = World()


def make_stream(*, world=ALONE, tokens=64, accumulation=1, encode=look_up, sample=None, sampled_from=None, **kind):
    """A stream of 60 pairs, sampled from the beginning where only a function for it is given."""
    config = BatchConfig(tokens=tokens, accumulation=accumulation, sentence_multiple=1)
    if sample is not None and sampled_from is None:
        sampled_from = 0.0
    encoder = Encoder(encode, sample or drawn_longer, sampled_from)
    return UpdateStream(Pairs(), encoder, config, seed=1, world=world, **kind)


GROUPED = {"sample": look_up}  # in groups, and then divided by the same lengths


def follow(stream, fractions):
    with stream:
        return [stream.next(fraction) for fraction in fractions]


def take(stream, count):
    return follow(stream, [0.0] * count)


def epoch(stream):
    """All updates of the stream's first epoch."""
    updates = [stream.next(0.0)]
    with stream:
        while not updates[-1].after.epoch:
            updates.append(stream.next(0.0))
    return updates


def pairs_of(updates):
    """The numbers of the pairs in real (labelled) batches."""
    return [
        int(token) - 100
        for update in updates
        for batch in update.batches
        if batch.num_target_tokens
        for token in batch.source.ids.flatten()
        if 100 <= token < 200
    ]
