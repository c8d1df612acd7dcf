"""API keys: a YAML file of names, hashes and rates."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from translate.errors import UserError, excerpt
from translate.files import require_regular
from translate.parsing import read_yaml
from translate.serving.config import LimitConfig

_SHA256 = 64  # hexadecimal digits
_KEY_BYTES = 24
_LONGEST_NAME = 100  # characters


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
        # quoted: yes, null and 123 are no texts in YAML
        stream.write(f'{start}- name: "{name}"\n  sha256: "{digest_of(key)}"\n')
    return key


def digest_of(key: str) -> str:
    """SHA-256 of a key, which may hold any characters."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
