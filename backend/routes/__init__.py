"""Flask blueprints: Label Studio's endpoints, the admin API, health and metrics."""
