"""What RQ runs: refit, fine-tune, sync."""
