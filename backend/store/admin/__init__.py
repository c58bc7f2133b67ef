"""What admins did, and their visits to the model page."""
