"""Predicting files over HTTP: ask for a run, see how far it is, end it."""
