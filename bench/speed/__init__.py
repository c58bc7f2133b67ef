"""How much is computed a second, and with how much memory."""
