"""Benches: each prints its figures as a table and, with --json, as JSON. Run as `python -m bench.<name>`."""
