"""Everything kept in Redis, each kind of data next to its keys and Lua scripts."""
