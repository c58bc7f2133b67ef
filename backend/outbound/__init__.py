"""Outgoing connections: the addresses of this machine, the proxies, the certificates that are trusted."""
