"""Everything that talks: HTTP, Redis, RQ, Label Studio and the command line, around the `model` package."""
