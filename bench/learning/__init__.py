"""How fast the model gets better."""
