"""The `understudy` command: one module a command, and the options and tables that they share."""
