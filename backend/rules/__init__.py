"""Pure decisions: the weight of a label, what is due, which features are switched off."""
