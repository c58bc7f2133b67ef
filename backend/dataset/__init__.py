"""A project's labels as a data set: one row a task, read from the store in bounded memory."""
