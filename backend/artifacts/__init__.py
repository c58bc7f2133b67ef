"""Versions, checkpoints and backups in an object store: written once, verified when read; on this machine a cache."""
