"""Texts that translations must and must not contain, as an automaton beside each hypothesis of a search."""
