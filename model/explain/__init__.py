"""Which words an answer hangs on."""
