"""Label Studio's task queue: which tasks come next, and when the order is written."""
