"""Redis itself: connection, key names, leases, scripts and the job queue."""
