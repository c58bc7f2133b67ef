"""What the head sees of a text: cached layers, TF-IDF, parts of long texts."""
