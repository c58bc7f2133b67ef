"""Live models in the web process: loading, hot swap, fair scheduling of predictions."""
