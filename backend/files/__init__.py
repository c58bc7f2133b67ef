"""Files at any size: where they lie, how they are cut into shards, and how a shard becomes a part with answers."""
