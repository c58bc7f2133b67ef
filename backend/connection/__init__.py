"""Connecting a Label Studio project, and taking everything off it again."""
