"""Outgoing events on their way: written in the same step as the fact, kept until they are delivered."""
