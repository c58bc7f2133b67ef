"""Spans of a text (named entities): what annotators mark, words, strings seen again, and what suggestions are worth."""
