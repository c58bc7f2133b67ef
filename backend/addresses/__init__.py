"""Addresses as people write them: URLs, hosts, Unix sockets, and what the web process listens on."""
