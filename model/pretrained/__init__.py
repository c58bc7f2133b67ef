"""What BASE_MODEL brings: its architecture, and a head that it was trained with."""
