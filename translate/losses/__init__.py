"""What training minimises: sums over tokens, divided only in training/step.py."""

from translate.losses.cross_entropy import label_smoothed_cross_entropy

__all__ = ["label_smoothed_cross_entropy"]
