"""The edge of HTTP: access and rate limits of every route, the form of replies and errors."""
