"""The Redis server that `understudy up` brings along: its program, its data, and the repair of its log."""
