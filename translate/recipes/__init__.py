"""Several runs in a row, each of which can be killed and goes on where it was."""
