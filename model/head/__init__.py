"""The refit of the classifier over frozen features."""
