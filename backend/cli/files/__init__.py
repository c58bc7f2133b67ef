"""`understudy predict IN -o OUT`: files of any size, shard by shard."""
