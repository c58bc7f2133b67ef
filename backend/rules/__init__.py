"""Pure decisions: whose label counts, what is due, what is switched off."""
