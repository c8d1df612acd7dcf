"""Comparison of systems that translated the same text: runs, groups of runs that differ in their seeds, files.

inputs.py finds the run folders and files that the command line names; entries.py reads one of them, with the test set
that it was scored on (test_sets.py); systems.py joins the seeds of a setting and finds settings that differ. scoring.py
computes scores, differences, groups and lines, a Comparison, of which verdicts.py makes sentences, terminal.py tables,
page.py an HTML page and document.py JSON. score_gap.py explains the difference between two BLEU figures.
"""
