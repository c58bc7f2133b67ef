"""What is stored of marked text alone: the patterns of its labels."""
