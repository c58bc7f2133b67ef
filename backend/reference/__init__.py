"""The pages of `docs/` that the code itself says: settings, commands, routes, error codes, Redis keys."""
