"""Corpora's files as they were when their contents were hashed, to notice changes while they are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from translate.data.corpora import CorpusConfig, corpus_files
from translate.errors import UserError
from translate.files import sha256
from translate.text import open_bytes


def content_hashes(config: CorpusConfig, *, key: str) -> list[str]:
    """SHA-256 of each of a corpus's files, whatever they are called; key is what errors call its configuration."""
    paths = corpus_files(config, key=key)
    try:
        return [_hash_file(path) for path in paths]
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


@dataclass(frozen=True)
class Snapshot:
    """The files of some corpora, each by the key of its configuration: SHA-256, and inode, size and times."""

    corpora: dict[str, CorpusConfig]
    hashes: dict[str, list[str]]
    status: dict[str, list[tuple[int, ...]]]

    @classmethod
    def take(cls, corpora: Sequence[tuple[str, CorpusConfig]]) -> Snapshot:
        status = {key: _status(config, key) for key, config in corpora}  # first: a change while hashing is noticed
        return cls(dict(corpora), {key: content_hashes(config, key=key) for key, config in corpora}, status)

    def require_unchanged(self, keys: Iterable[str] | None = None) -> None:
        """Raise UserError where files are no longer what was hashed, so that what was read may be another text.

        A file that was changed and changed back has its old hash, but not its old times.
        """
        for key in self.corpora if keys is None else keys:
            config = self.corpora[key]
            if _status(config, key) != self.status[key] or content_hashes(config, key=key) != self.hashes[key]:
                raise UserError(f"{key}: the files have changed while they were read; start again when they are whole")


def _status(config: CorpusConfig, key: str) -> list[tuple[int, ...]]:
    paths = corpus_files(config, key=key)
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return []  # hashing reports the error
    return [(each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in found]


def _hash_file(path: str) -> str:
    with open_bytes(path):
        pass  # for its errors; what is hashed are the bytes as they are stored, compressed or not
    return sha256(path)
