"""The change of the encoder over the admin API."""
