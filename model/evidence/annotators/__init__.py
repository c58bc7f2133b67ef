"""What several annotators' answers to the same tasks say of each of them, and of the tasks."""
