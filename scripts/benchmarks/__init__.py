"""Our own system and its peers at the same work, in one run: what scripts/benchmark.py is made of."""
