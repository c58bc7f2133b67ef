"""The real Label Studio, the real product, every process: opt-in with `make e2e`."""
