"""Marked text as a stock classifier of tokens: a student of what a version marks."""
