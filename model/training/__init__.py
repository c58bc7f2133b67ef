"""The fine-tune of the encoder, run as a process."""
