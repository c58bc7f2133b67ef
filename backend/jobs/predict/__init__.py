"""Predicting a whole project, shard by shard."""
