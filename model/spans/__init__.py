"""Spans of a text (named entities): words and their features, what marks them before any label, and the head."""
