"""Optional filters of training text, each off until it is switched on.

corpus_filters.py has the table of filters and those of a corpus; pair_rules.py, language.py, near_duplicates.py and
command.py have the filters themselves; config.py their settings.
"""
