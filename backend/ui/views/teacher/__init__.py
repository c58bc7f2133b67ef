"""The teacher on the page."""
