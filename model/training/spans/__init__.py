"""Trains the transfer prior of spans, which the project ships for its own encoder and can train for another."""
