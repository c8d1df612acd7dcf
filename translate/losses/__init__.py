"""What training minimises: sums over tokens, divided only in training/step.py."""

from translate.losses.cross_entropy import cross_entropy, label_smoothed_cross_entropy

__all__ = ["cross_entropy", "label_smoothed_cross_entropy"]
