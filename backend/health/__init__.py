"""How Redis, the workers and all projects are at a glance."""
