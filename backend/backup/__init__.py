"""Backups: everything that is not in Label Studio, in one file with checksums."""
