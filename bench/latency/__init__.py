"""How long a caller waits."""
