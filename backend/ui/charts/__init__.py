"""Charts as geometry: where each line, bar and label of a picture stands. Templates draw them as SVG."""
