"""Logs and metrics: what a process says of itself."""
