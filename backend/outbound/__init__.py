"""How this machine calls others: which addresses are its own, by which proxy, whose certificates it trusts."""
