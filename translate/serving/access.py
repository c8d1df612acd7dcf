"""Access of clients: a valid key, and rates."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from translate.errors import UserError
from translate.serving.api_keys import ApiKey, digest_of, read_keys
from translate.serving.config import LimitConfig
from translate.serving.file_state import file_state

_MOST_CLIENTS = 10_000  # whose rates are kept
logger = logging.getLogger(__name__)


class AccessError(Exception):
    """A key is missing, or is none of the service's."""


class RateError(Exception):
    """A client has sent more than its rate allows; retry_after: seconds until it may try again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests or characters a minute: try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True)
class Client:
    """Owner of a request: a key, or else the address that it came from."""

    owner: ApiKey | None
    address: str

    @property
    def identity(self) -> tuple[str, str]:
        return ("key", self.owner.name) if self.owner else ("address", self.address)


class _Bucket:
    """A token bucket: a minute's amount, which fills evenly."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._time = time.monotonic()

    def seconds_until(self, amount: int) -> float:
        """Seconds until there is this amount, or as much as the bucket holds."""
        now = time.monotonic()
        self._left = min(self._per_minute, self._left + (now - self._time) * self._per_minute / 60)
        self._time = now
        return max(0.0, (min(amount, self._per_minute) - self._left) * 60 / self._per_minute)

    def take(self, amount: int) -> None:
        self._left -= amount


class Access:
    """Keys and rates of clients.

    require_key  refuse requests without a key
    file         of the keys, which may change while the service runs; "": none
    """

    def __init__(self, keys: list[ApiKey], limits: LimitConfig, *, require_key: bool = False, file: str = "") -> None:
        self._keys = keys
        self._file = Path(file) if file else None
        self._file_state = file_state(self._file) if self._file else None
        self._require_key = require_key
        self._limits = limits
        self._buckets: OrderedDict[tuple[str, str], list[tuple[str, _Bucket]]] = OrderedDict()

    async def check_file(self) -> None:
        """Read the file of keys again if it has changed; one that is damaged is reported, and the former keys stay."""
        if self._file is None or (state := file_state(self._file)) == self._file_state:
            return
        self._file_state = state
        try:
            self._keys = await asyncio.to_thread(read_keys, str(self._file), self._limits)
        except (UserError, OSError) as error:
            logger.error("the former keys stay: %s", error)
            return
        self._buckets.clear()  # rates may have changed
        logger.info("%s: %d keys", self._file, len(self._keys))

    @property
    def has_keys(self) -> bool:
        return bool(self._keys)

    @property
    def requires_key(self) -> bool:
        return self._require_key

    def owner(self, key: str) -> ApiKey | None:
        """The entry of a key; None without one. Raises AccessError for a wrong one, or where one is required."""
        if not key:
            if self._require_key:
                raise AccessError("an API key is required: api_key=…, or the header Authorization: Bearer …")
            return None
        digest = digest_of(key)
        found = None
        for each in self._keys:  # all, so that the time tells nothing
            if hmac.compare_digest(each.sha256, digest):
                found = each
        if found is None:
            raise AccessError("this API key is not valid")
        return found

    def count(self, client: Client, characters: int) -> None:
        """Count a request. Raises RateError for one too many."""
        buckets = self._buckets_of(client)
        amounts: Mapping[str, int] = {"requests": 1, "characters": characters}
        wait = max((bucket.seconds_until(amounts[what]) for what, bucket in buckets), default=0.0)
        if wait > 0:
            raise RateError(math.ceil(wait))
        for what, bucket in buckets:
            bucket.take(amounts[what])

    def charge(self, client: Client, characters: int) -> None:
        """Count characters of a request that was accepted before they were known: those of a document."""
        for what, bucket in self._buckets_of(client):
            if what == "characters":
                bucket.take(characters)

    def _buckets_of(self, client: Client) -> list[tuple[str, _Bucket]]:
        buckets = self._buckets.setdefault(client.identity, _buckets(client.owner or self._limits))
        self._buckets.move_to_end(client.identity)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return buckets


def _buckets(rates: ApiKey | LimitConfig) -> list[tuple[str, _Bucket]]:
    given = {"requests": rates.requests_per_minute, "characters": rates.characters_per_minute}
    return [(what, _Bucket(per_minute)) for what, per_minute in given.items() if per_minute]
