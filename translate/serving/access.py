"""Who may use the service, and how often: API keys and rates."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from translate.errors import UserError, excerpt
from translate.files import require_regular
from translate.parsing import read_yaml
from translate.serving.config import LimitConfig
from translate.serving.file_state import file_state

_MOST_CLIENTS = 10_000  # whose rates are kept
_SHA256 = 64  # hexadecimal digits
_KEY_BYTES = 24
_LONGEST_NAME = 100  # characters
logger = logging.getLogger(__name__)


class AccessError(Exception):
    """A key is missing, or is none of the service's."""


class RateError(Exception):
    """A client has sent more than its rate allows; retry_after: seconds until it may go on."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests or characters a minute: try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key, of which only the hash is stored; rates as in LimitConfig."""

    name: str
    sha256: str
    requests_per_minute: int
    characters_per_minute: int

    @classmethod
    def of_plain(cls, entry: Any, limits: LimitConfig, where: str) -> Self:
        """A key from an entry of a file. Raises UserError for a damaged one."""
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
            raise UserError(f"{where}: each key needs name: and sha256:")
        if len(entry["name"]) > _LONGEST_NAME or not entry["name"].isprintable():  # it gets into each line of the log
            raise UserError(f"{where}: a name has at most {_LONGEST_NAME} characters: {excerpt(entry['name'])}")
        digest = str(entry.get("sha256", "")).lower()
        if len(digest) != _SHA256 or set(digest) - set("0123456789abcdef"):
            raise UserError(f"{where}: sha256 of {excerpt(entry['name'])} must have {_SHA256} hexadecimal digits")
        rates = {}
        for name in ("requests_per_minute", "characters_per_minute"):
            value = entry.get(name, getattr(limits, name))
            if type(value) is not int or value < 0:
                raise UserError(f"{where}: {name} of {excerpt(entry['name'])} must be a number, 0 for no limit")
            rates[name] = value
        if others := entry.keys() - {"name", "sha256", *rates}:
            raise UserError(f"{where}: {excerpt(entry['name'])}: unknown entry {excerpt(min(map(str, others)))}")
        return cls(name=entry["name"], sha256=digest, **rates)


@dataclass(frozen=True)
class Client:
    """Owner of a request: a key, or else the address that it came from."""

    owner: ApiKey | None
    address: str

    @property
    def identity(self) -> tuple[str, str]:
        return ("key", self.owner.name) if self.owner else ("address", self.address)


def read_keys(path: str, limits: LimitConfig) -> list[ApiKey]:
    """The keys of a YAML file: a list of name, sha256, and the rates that differ from the service's."""
    entries = read_yaml(path)
    if not isinstance(entries, list):
        raise UserError(f"{path}: a list of keys is expected: - name: … and sha256: …")
    keys = [ApiKey.of_plain(entry, limits, path) for entry in entries]
    for what in ("name", "sha256"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise UserError(f"{path}: two keys have one {what}")
    return keys


def new_key(name: str, path: str) -> str:
    """Make a key and append its hash to a file, which only its owner may read; returns the key, stored nowhere."""
    key = secrets.token_urlsafe(_KEY_BYTES)
    file = Path(path)
    if file.exists():
        require_regular(file, option="keys")
    known = read_keys(path, LimitConfig()) if file.exists() and file.stat().st_size else []
    if name in [each.name for each in known]:
        raise UserError(f"{path} has a key of the name {excerpt(name)} already")
    if not name.replace("-", "").replace("_", "").isalnum() or len(name) > _LONGEST_NAME:
        raise UserError(f"the name of a key ({excerpt(name)}) has letters, digits, - and _, at most {_LONGEST_NAME}")
    start = "\n" if known and not file.read_bytes().endswith(b"\n") else ""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(descriptor, "a", encoding="utf-8") as stream:
        # quoted: yes, null and 123 are no texts in YAML, nor may a hash be
        stream.write(f'{start}- name: "{name}"\n  sha256: "{_digest(key)}"\n')
    return key


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
        digest = _digest(key)
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


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
