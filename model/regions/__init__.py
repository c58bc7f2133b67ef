"""Learns what is said about marked regions: answers to questions that are asked of each of them."""
