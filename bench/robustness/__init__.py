"""Long runs, odd inputs and mutated code."""
