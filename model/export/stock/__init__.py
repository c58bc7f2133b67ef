"""A version as a classifier that `transformers` has a class for: its fine-tuned part, or a student of its answers."""
