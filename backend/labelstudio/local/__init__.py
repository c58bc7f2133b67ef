"""A Label Studio of our own on this machine, for the demo and the end-to-end tests."""
