"""What runs as a process of its own: one module a process."""
