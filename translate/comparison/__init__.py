"""Comparison of systems that translated the same text: runs, groups of runs that differ in their seeds, files.

In the order of the work:

    inputs.py       run folders and files that the command line names, also by patterns
    entries.py      an Entry: one run, report or file, read with the test set that it was scored on (test_sets.py)
    selection.py    the test set in common, and which entries are compared on it
    systems.py      a System: the seeds of one setting together; settings that differ
    scoring.py      scores, intervals and p-values; with lines.py, a Comparison (results.py)
    score_gap.py    reasons for the difference between two BLEU figures
    verdicts.py     sentences on significance
    terminal.py     the Comparison as text, by the tables of tables.py
    page.py         as an HTML page
    json_report.py  as JSON
"""
