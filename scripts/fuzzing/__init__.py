"""Hostile input for every reader: damaged and adversarial files, and odd command lines.

inputs.py   strategies of hypothesis: valid samples cut and spliced, and hostile pieces put together
readers.py  the readers: their inputs, and the function that reads them
harness.py  the property that all share, and the loop over examples
"""
