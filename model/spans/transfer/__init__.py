"""What spans are before any label: words judged by the names of the labels, and how far that can be believed."""
