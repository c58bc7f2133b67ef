"""A version leaves the house: a directory that answers as it does, with the proof that it does."""
