"""Redis: keys and scripts next to the class that owns them."""
