"""The routes of the model page: log in, look, act."""
