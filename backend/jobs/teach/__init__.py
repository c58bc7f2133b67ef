"""Has a teacher asked about unlabelled texts, and reads what it said for a refit."""
