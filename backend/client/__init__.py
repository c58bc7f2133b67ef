"""Clients of a running understudy, and the files of tasks that they send."""
