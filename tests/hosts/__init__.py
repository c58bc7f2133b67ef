"""Several machines: hosts as network namespaces, each with a disk of its own. Opt-in with `make hosts`."""
