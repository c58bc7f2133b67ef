"""Benches with a real Label Studio."""
