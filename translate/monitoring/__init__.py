"""Monitoring of a translation service: numbers of its lines, without their text, compared with those of known lines.

    translator ──► features.py ──► log.py ──────────────► drift.py ──► terminal.py, page.py, metrics.py
                   a line's        entries of requests    measures.py
                   numbers         reference.py           statistics.py
                                   numbers of known lines

The service writes the entries; python -m translate.monitor reads them. redaction.py and sampling.py belong to samples
of translations for people to judge.
"""
