"""Exports over HTTP: ask for one, see how far it is, and take the archive away."""
