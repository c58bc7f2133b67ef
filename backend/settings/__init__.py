"""Settings: what people set, read, checked and documented once."""
