"""All measured tables of the documentation, from one command."""
