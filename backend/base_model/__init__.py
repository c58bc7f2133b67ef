"""BASE_MODEL on this machine: its files, the encoders made of it, and the number format that they run in."""
