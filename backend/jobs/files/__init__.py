"""Predicting files, shard by shard, in workers of their own."""
