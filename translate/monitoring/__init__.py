"""Monitoring of a translation service: features of its lines, without their text, compared with a baseline.

    translator ──► features.py ──► log.py ────────────────► drift.py ──► results.py, page.py
                   of each line    entries of requests      measures.py
                                   baseline.py              two_sample_tests.py
                                   make_baselines.py
                                   features of held-out text

The service writes the entries; python -m translate.monitor reads them. redaction.py and sampling.py belong to samples
of translations for people to judge.
"""
