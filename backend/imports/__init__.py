"""A model comes into the house: copied, judged by the gate, published by it alone."""
