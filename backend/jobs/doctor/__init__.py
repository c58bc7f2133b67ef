"""What `understudy doctor` finds, looked for at intervals and kept for the model page."""
