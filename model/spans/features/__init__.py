"""What a span head reads of a text: encoder states of words, cached, and what the words look like."""
