"""An export on the server: a job that starts a process, shows how far it is, and keeps the archive that it made."""
