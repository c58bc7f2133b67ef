"""A version of a model: on disk, and live."""
