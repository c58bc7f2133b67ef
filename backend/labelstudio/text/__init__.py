"""The readable text in what a task shows."""
