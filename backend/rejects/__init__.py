"""Why tasks, labels and requests came to nothing: counted, logged and told."""
