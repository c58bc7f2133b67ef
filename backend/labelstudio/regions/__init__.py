"""What a label config asks about marked regions, what annotations answer, and suggested answers as results."""
