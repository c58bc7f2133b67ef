"""Keeps processes alive, and ends them with their parent."""
