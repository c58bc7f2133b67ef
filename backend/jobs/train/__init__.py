"""The fine-tune: a training process of its own, watched by its job."""
