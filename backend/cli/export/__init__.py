"""Commands that take what was learned and labelled out of the house."""
