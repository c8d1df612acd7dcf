"""Drill: faults, the sessions that they disturb, and rounds of them compared with undisturbed runs."""
