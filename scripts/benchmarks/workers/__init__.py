"""One file for each system and kind of work: processes that scripts/benchmark.py starts, some in environments of peers.

What runs in a peer's environment imports nothing of the package `translate`.
"""
