"""From a text to the pooled layers of a transformer."""
