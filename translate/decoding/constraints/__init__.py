"""Texts that translations must and must not contain, as an automaton beside each hypothesis of a search.

constraints.py has the settings and the constraints of one sentence, which line_constraints.py makes of a line by
terminology.py. automaton.py reads tokens one by one; by vocabulary.py it finds texts by their characters, so that every
segmentation of a word is that word. The searches that ask it are in search/constrained.py.
"""
