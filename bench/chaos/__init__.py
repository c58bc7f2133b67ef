"""Chaos: what happens, what goes wrong meanwhile, and what must hold all the same."""
