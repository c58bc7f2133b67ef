"""Label Studio's formats: label configs, task data, results, webhooks, and its REST API."""
