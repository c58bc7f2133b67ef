"""Text and labels: encoders, heads, training, evaluation, versions. Knows no HTTP, Redis or Label Studio."""
