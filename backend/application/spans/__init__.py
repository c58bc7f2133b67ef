"""What an admin says of marked text alone: the patterns of its labels."""
