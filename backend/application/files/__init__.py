"""Predicting files, as an admin asks for it."""
