"""Extractive question answering in label configs: which control marks answers, and where its question stands."""
