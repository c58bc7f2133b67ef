"""The teacher over the admin API."""
