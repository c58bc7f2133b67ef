"""The whole product as processes: what a user starts, spoken to over HTTP."""
