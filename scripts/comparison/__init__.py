"""Models and losses compared: each trained for the same time, and a report of what came of it."""
