"""Finished exports as files: packed without following links, kept for a while, found again, and swept."""
