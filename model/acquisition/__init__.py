"""Which task is labelled next."""
