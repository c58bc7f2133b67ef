"""From probabilities to an answer with its confidence."""
