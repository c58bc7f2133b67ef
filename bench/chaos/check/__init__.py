"""Whether a chaos run's history breaks a promise."""
